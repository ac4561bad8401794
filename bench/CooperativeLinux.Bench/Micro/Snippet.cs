using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>Where a snippet can run natively too.</summary>
internal enum NativeSide
{
    Everywhere,

    /// <summary>The bytes mean the same on Linux only (system calls, fs segment).</summary>
    Linux,

    /// <summary>Depends on <see cref="FlatGuest"/>.</summary>
    Never,
}

/// <summary>
/// A piece of machine code to measure. It finds the address of <see cref="DataSize"/> bytes in rdi and an iteration count
/// (not zero) in rsi, and leaves a result in rax that depends on its work but not on addresses. It may change every register but rsp and
/// xmm6 to xmm15, and keeps the stack balanced.
/// </summary>
internal sealed class Snippet
{
    /// <summary>Bytes of data every snippet may use.</summary>
    public const int DataSize = 32 << 20;

    /// <summary>Unique and short.</summary>
    public required string Name { get; init; }

    /// <summary>What one operation is.</summary>
    public required string Operation { get; init; }

    /// <summary>Operations in one iteration.</summary>
    public int Operations { get; init; } = 1;

    /// <summary>Writes the code.</summary>
    public required Action<Assembler> Emit { get; init; }

    /// <summary>Fills the data, which is zero before, for the address it will have.</summary>
    public DataFiller? Fill { get; init; }

    public NativeSide Native { get; init; }

    /// <summary>Whether the host has the instructions.</summary>
    public bool IsSupported { get; init; } = true;

    /// <summary>Machine code of a function: data address in rdi, iterations in rsi; returns the result in rax.</summary>
    /// <param name="address">Where the code will be.</param>
    public byte[] Assemble(ulong address)
    {
        Assembler a = new(64);
        Label body = a.CreateLabel();
        if (OperatingSystem.IsWindows())
        {
            // The other calling convention; the guest gets its arguments in both pairs of registers.
            a.push(rdi);
            a.push(rsi);
            a.mov(rdi, rcx);
            a.mov(rsi, rdx);
            a.call(body);
            a.pop(rsi);
            a.pop(rdi);
            a.ret();
        }

        a.Label(ref body);
        a.push(rbx);
        a.push(rbp);
        a.push(r12);
        a.push(r13);
        a.push(r14);
        a.push(r15);
        a.cld();
        a.xor(eax, eax);
        a.xor(ecx, ecx);
        Emit(a);
        a.pop(r15);
        a.pop(r14);
        a.pop(r13);
        a.pop(r12);
        a.pop(rbp);
        a.pop(rbx);
        a.ret();
        using MemoryStream stream = new();
        a.Assemble(new StreamCodeWriter(stream), address);
        return stream.ToArray();
    }
}

/// <summary>Fills data that the code will see at <paramref name="address"/>.</summary>
internal delegate void DataFiller(Span<byte> data, ulong address);
