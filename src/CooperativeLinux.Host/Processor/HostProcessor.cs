using System.Runtime.InteropServices;
using System.Text;
using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Host.Processor;

/// <summary>Instruction sets that matter here. Those with AVX state are only set if the operating system enabled it.</summary>
[Flags]
public enum ProcessorFeatures
{
    /// <summary>Nothing beyond x86-64.</summary>
    None = 0,

    /// <summary>SSE3, SSSE3, SSE4.1, SSE4.2, POPCNT and CMPXCHG16B: x86-64-v2.</summary>
    V2 = 1 << 0,

    /// <summary>AVX.</summary>
    Avx = 1 << 1,

    /// <summary>AVX2.</summary>
    Avx2 = 1 << 2,

    /// <summary>Fused multiply-add.</summary>
    Fma = 1 << 3,

    /// <summary>Half-precision conversion.</summary>
    F16c = 1 << 4,

    /// <summary>BMI1.</summary>
    Bmi1 = 1 << 5,

    /// <summary>BMI2.</summary>
    Bmi2 = 1 << 6,

    /// <summary>LZCNT.</summary>
    Lzcnt = 1 << 7,

    /// <summary>MOVBE.</summary>
    Movbe = 1 << 8,

    /// <summary>XSAVE, enabled by the operating system.</summary>
    OsXsave = 1 << 9,

    /// <summary>Reading and writing the FS and GS base in user mode; the operating system may still forbid it.</summary>
    FsGsBase = 1 << 10,

    /// <summary>AES instructions.</summary>
    Aes = 1 << 11,

    /// <summary>SHA instructions.</summary>
    Sha = 1 << 12,

    /// <summary>All of x86-64-v3.</summary>
    V3 = V2 | Avx | Avx2 | Fma | F16c | Bmi1 | Bmi2 | Lzcnt | Movbe | OsXsave,
}

/// <summary>Facts about the host's processor.</summary>
/// <param name="Vendor">Twelve characters of leaf 0.</param>
/// <param name="Brand">Name for people, empty if it has none.</param>
/// <param name="Features">Instruction sets.</param>
/// <param name="Xcr0">State components the operating system enabled: bit 1 SSE, bit 2 AVX, bits 5 to 7 AVX-512. 0 without XSAVE.</param>
public sealed record HostProcessor(string Vendor, string Brand, ProcessorFeatures Features, ulong Xcr0)
{
    private const ulong AvxState = 0b110;
    private const int OsXsaveBit = 27;

    // Feature bits: Intel SDM volume 2, CPUID.
    private static readonly (ProcessorFeatures Feature, uint Leaf, char Register, uint Bits)[] Bits =
    [
        (ProcessorFeatures.V2, 1, 'c', (1u << 0) | (1u << 9) | (1u << 13) | (1u << 19) | (1u << 20) | (1u << 23)),
        (ProcessorFeatures.Fma, 1, 'c', 1u << 12),
        (ProcessorFeatures.Movbe, 1, 'c', 1u << 22),
        (ProcessorFeatures.Aes, 1, 'c', 1u << 25),
        (ProcessorFeatures.OsXsave, 1, 'c', 1u << OsXsaveBit),
        (ProcessorFeatures.Avx, 1, 'c', 1u << 28),
        (ProcessorFeatures.F16c, 1, 'c', 1u << 29),
        (ProcessorFeatures.FsGsBase, 7, 'b', 1u << 0),
        (ProcessorFeatures.Bmi1, 7, 'b', 1u << 3),
        (ProcessorFeatures.Avx2, 7, 'b', 1u << 5),
        (ProcessorFeatures.Bmi2, 7, 'b', 1u << 8),
        (ProcessorFeatures.Sha, 7, 'b', 1u << 29),
        (ProcessorFeatures.Lzcnt, 0x8000_0001, 'c', 1u << 5),
    ];

    /// <summary>Whether all of these are there.</summary>
    public bool Has(ProcessorFeatures features) => (Features & features) == features;

    /// <summary>Asks the processor this runs on.</summary>
    /// <exception cref="PlatformNotSupportedException">No x86 processor.</exception>
    /// <exception cref="HostCallException">The host gives no executable memory.</exception>
    public static HostProcessor Read()
    {
        bool hasXsave = (CpuidReader.Read(1).Ecx & (1u << OsXsaveBit)) != 0;
        return Interpret(leaf => CpuidReader.Read(leaf), hasXsave ? ReadXcr0() : 0);
    }

    /// <summary>Interprets the answers of cpuid.</summary>
    internal static HostProcessor Interpret(Func<uint, CpuidRegisters> cpuid, ulong xcr0)
    {
        ProcessorFeatures features = ProcessorFeatures.None;
        foreach ((ProcessorFeatures feature, uint leaf, char register, uint bits) in Bits)
        {
            CpuidRegisters registers = cpuid(leaf);
            uint value = register == 'b' ? registers.Ebx : registers.Ecx;
            features |= (value & bits) == bits ? feature : ProcessorFeatures.None;
        }

        if ((xcr0 & AvxState) != AvxState)
        {
            features &= ~(ProcessorFeatures.Avx | ProcessorFeatures.Avx2 | ProcessorFeatures.Fma | ProcessorFeatures.F16c);
        }

        CpuidRegisters vendor = cpuid(0);
        string brand = cpuid(0x8000_0000).Eax >= 0x8000_0004
            ? Text([cpuid(0x8000_0002), cpuid(0x8000_0003), cpuid(0x8000_0004)])
            : "";
        return new HostProcessor(Text([vendor with { Eax = vendor.Ebx, Ebx = vendor.Edx, Edx = 0 }]), brand, features, xcr0);
    }

    private static string Text(ReadOnlySpan<CpuidRegisters> registers) =>
        Encoding.ASCII.GetString(MemoryMarshal.AsBytes(registers)).Replace("\0", "", StringComparison.Ordinal).Trim();

    private static unsafe ulong ReadXcr0()
    {
        // xor ecx, ecx; xgetbv; shl rdx, 32; or rax, rdx; ret
        ReadOnlySpan<byte> code = [0x31, 0xC9, 0x0F, 0x01, 0xD0, 0x48, 0xC1, 0xE2, 0x20, 0x48, 0x09, 0xD0, 0xC3];
        using CodeMemory memory = CodeMemory.Create(1, code.Length);
        code.CopyTo(new Span<byte>(memory.CodeWritable, code.Length));

        // SAFETY: takes nothing, returns in rax, changes rcx and rdx; the operating system enabled XSAVE, so xgetbv exists.
        return ((delegate* unmanaged<ulong>)memory.Code)();
    }
}
