using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Execution;

/// <summary>
/// What emitted code needs besides the architectural state. It lies behind <see cref="VcpuState"/> in the data region in front of
/// the code cache, so that both are addressed relative to rip.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
internal unsafe struct EngineState
{
    public const int TotalSize = 4096;

    /// <summary>Host stack pointer on entry; the exit stub goes back to it.</summary>
    [FieldOffset(0)] public ulong HostRsp;

    /// <summary>Bottom of the host stack part that pairs guest calls with host calls; holds the return-miss stub's address.</summary>
    [FieldOffset(8)] public ulong PairBase;

    /// <summary>Blocks leave to the poll callback when rsp is below this: the pair stack is full, or (all ones) a poll is wanted.</summary>
    [FieldOffset(16)] public ulong Limit;

    /// <summary>GCHandle of the Vcpu.</summary>
    [FieldOffset(24)] public nint Handle;

    /// <summary>Argument of a callback: a site, exit or instruction number.</summary>
    [FieldOffset(32)] public uint Argument;

    /// <summary>Non-zero: a poll was requested and not answered yet.</summary>
    [FieldOffset(36)] public int PollRequested;

    /// <summary>First scratch register at a callback: an effective address or a branch target. Bounce returns the host address there.</summary>
    [FieldOffset(40)] public ulong Scratch0;

    /// <summary>rsp to continue with after a callback.</summary>
    [FieldOffset(48)] public ulong ResumeRsp;

    /// <summary>Host code to continue at, when a callback does not return to its caller.</summary>
    [FieldOffset(56)] public nint ResumeTarget;

    /// <summary>Guest registers parked for the length of one instruction.</summary>
    [FieldOffset(64)] public ulong Park0;
    [FieldOffset(72)] public ulong Park1;

    /// <summary>rax while flags are saved or restored.</summary>
    [FieldOffset(80)] public ulong ParkRax;

    /// <summary>ah/al image (lahf, seto) of the guest's flags while blocks keep them in memory.</summary>
    [FieldOffset(88)] public uint ParkedFlags;

    [FieldOffset(92)] public uint DefaultMxcsr;

    /// <summary>Branch target of an indirect call while its return address is pushed.</summary>
    [FieldOffset(96)] public ulong CallTarget;

    /// <summary>Second scratch register after a callback: the distance from guest to host address that Access found.</summary>
    [FieldOffset(112)] public ulong Scratch1;

    /// <summary>Host address where a string instruction writes to.</summary>
    [FieldOffset(104)] public ulong StringTarget;

    /// <summary>The negative of the address of the current stack's page, and the distance from guest to host address; kernel mode, then user mode.</summary>
    [FieldOffset(136)] public ulong KernelStackNegative;
    [FieldOffset(144)] public ulong KernelStackDelta;
    [FieldOffset(152)] public ulong UserStackNegative;
    [FieldOffset(160)] public ulong UserStackDelta;

    /// <summary>Table of indirect branch targets of the current mode; see <see cref="Cache.BranchTable"/>.</summary>
    [FieldOffset(168)] public ulong BranchTable;

    /// <summary>Ids of user pages whose mapping was checked in the current context.</summary>
    [FieldOffset(176)] public ulong PageSlots;

    /// <summary>Guest address that an indirect branch goes to.</summary>
    [FieldOffset(184)] public ulong BranchTarget;

    /// <summary>Zero: a poll is wanted. For blocks that must not touch flags.</summary>
    [FieldOffset(248)] public uint PollClear;

    /// <summary>Added to bits 18 to 33 of rsp it gives zero just below the pair stack.</summary>
    [FieldOffset(252)] public uint DepthTag;

    [FieldOffset(192)] public Host.Faults.FaultRecord Fault;

    /// <summary>Managed entry points, indexed by <see cref="CallbackKind"/>.</summary>
    [FieldOffset(256)] public fixed ulong Callbacks[16];

    /// <summary>Copy of an operand that crosses a page, at the operand's offset modulo 64.</summary>
    [FieldOffset(512)] public fixed byte Bounce[256];

    /// <summary>TLB arrays of the current context: kernel read, kernel write, user read, user write, each with its banks.</summary>
    [FieldOffset(768)] public fixed ulong Tlbs[Memory.TlbContext.ArrayCount];

    /// <summary>Arrays of the second TLB, in the same order, and the current context's generation in them.</summary>
    [FieldOffset(896)] public fixed ulong SecondTlbs[4];
    [FieldOffset(928)] public ulong Generation;
    [FieldOffset(936)] public ulong Park2;

    /// <summary>Generation of the kernel half, which all contexts share.</summary>
    [FieldOffset(944)] public ulong KernelGeneration;

    /// <summary>Distances from guest to host addresses that a block has found, for accesses off one register.</summary>
    [FieldOffset(952)] public fixed ulong BaseDeltas[Analysis.BaseGroups.Slots];

    /// <summary>x87 image for instructions that are carried out in C#.</summary>
    [FieldOffset(1024)] public fixed byte FpuImage[1024];
}

/// <summary>Why emitted code calls managed code. The first group returns to the calling place, the second goes where the
/// callback says.</summary>
internal enum CallbackKind
{
    Access,
    StackWindow,
    Bounce,
    BounceFinish,
    Interpret,

    Link,
    Dispatch,
    Poll,
    PageCheck,
    Syscall,
    Environment,
    Raise,
    Fault,
    Count,
}
