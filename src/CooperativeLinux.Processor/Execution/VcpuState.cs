using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Execution;

/// <summary>
/// The state of one vCPU, in unmanaged memory next to its code cache. Emitted code addresses it relative to rip, so
/// offsets are taken only from <see cref="StateLayout"/>. General registers are in x86 encoding order.
/// Outside emitted code all fields are the guest's current architectural state.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
public unsafe struct VcpuState
{
    /// <summary>Bytes reserved for the structure.</summary>
    public const int TotalSize = 4096;

    /// <summary>rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 … r15.</summary>
    [FieldOffset(0)] public fixed ulong Registers[16];
    [FieldOffset(0)] public ulong Rax;
    [FieldOffset(8)] public ulong Rcx;
    [FieldOffset(16)] public ulong Rdx;
    [FieldOffset(24)] public ulong Rbx;
    [FieldOffset(32)] public ulong Rsp;
    [FieldOffset(40)] public ulong Rbp;
    [FieldOffset(48)] public ulong Rsi;
    [FieldOffset(56)] public ulong Rdi;
    [FieldOffset(64)] public ulong R8;
    [FieldOffset(72)] public ulong R9;
    [FieldOffset(80)] public ulong R10;
    [FieldOffset(88)] public ulong R11;
    [FieldOffset(96)] public ulong R12;
    [FieldOffset(104)] public ulong R13;
    [FieldOffset(112)] public ulong R14;
    [FieldOffset(120)] public ulong R15;
    [FieldOffset(128)] public ulong Rip;

    /// <summary>CF PF AF ZF SF OF as bits of rflags; other bits are zero.</summary>
    [FieldOffset(136)] public ulong ArithmeticFlags;

    /// <summary>The remaining bits of rflags that the guest can see and change: TF, IF (always set), DF, IOPL (0), NT, AC, ID;
    /// and bit 1.</summary>
    [FieldOffset(144)] public ulong SystemFlags;

    [FieldOffset(152)] public ulong FsBase;

    /// <summary>The base in use now. The monitor swaps it on mode changes.</summary>
    [FieldOffset(160)] public ulong GsBase;

    /// <summary>1: user mode, 0: kernel mode. Selects page-table root, permissions and privileged instructions.</summary>
    [FieldOffset(168)] public uint UserMode;

    [FieldOffset(172)] public uint Mxcsr;

    /// <summary>Selectors es, cs, ss, ds, fs, gs (x86 encoding order), kept for the guest to read back.</summary>
    [FieldOffset(176)] public fixed ushort Selectors[8];

    /// <summary>ymm0 … ymm15, 32 bytes each, 64-byte aligned.</summary>
    [FieldOffset(192)] public fixed byte Vectors[16 * 32];

    /// <summary>The whole rflags image.</summary>
    public ulong Rflags
    {
        readonly get => ArithmeticFlags | SystemFlags;
        set
        {
            ArithmeticFlags = value & RflagsBits.Arithmetic;
            SystemFlags = (value & RflagsBits.System) | RflagsBits.Always;
        }
    }
}

/// <summary>Bits of rflags.</summary>
public static class RflagsBits
{
    public const ulong Carry = 1, Parity = 4, Auxiliary = 0x10, Zero = 0x40, Sign = 0x80, Trap = 0x100, Interrupt = 0x200,
        Direction = 0x400, Overflow = 0x800, NestedTask = 0x4000, Resume = 0x1_0000, AlignmentCheck = 0x4_0000, Id = 0x20_0000;

    /// <summary>The flags that arithmetic instructions change.</summary>
    public const ulong Arithmetic = Carry | Parity | Auxiliary | Zero | Sign | Overflow;

    /// <summary>Flags kept by us and never given to the host processor.</summary>
    public const ulong System = Trap | Direction | NestedTask | AlignmentCheck | Id;

    /// <summary>Bits that always read as one: bit 1 and IF (a PV kernel's interrupt flag lives elsewhere).</summary>
    public const ulong Always = 2 | Interrupt;
}
