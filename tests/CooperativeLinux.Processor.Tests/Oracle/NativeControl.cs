using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>What C# and the emitted thunk of <see cref="NativeRunner"/> share; in unmanaged memory beside the thunk.</summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
internal unsafe struct NativeControl
{
    public const int TotalSize = 4096;

    /// <summary>General registers in encoding order, in and out.</summary>
    [FieldOffset(0)] public fixed ulong Registers[16];
    [FieldOffset(128)] public ulong Rip;
    [FieldOffset(136)] public ulong Rflags;
    [FieldOffset(144)] public ulong FsBase;
    [FieldOffset(152)] public ulong GsBase;
    [FieldOffset(160)] public ulong Cs;
    [FieldOffset(168)] public ulong Ss;
    [FieldOffset(176)] public ulong HostRsp;
    [FieldOffset(184)] public ulong HostFsBase;
    [FieldOffset(192)] public ulong HostGsBase;

    /// <summary>Bounds of the running thread's signal stack: the handler knows by it that the fault is ours.</summary>
    [FieldOffset(200)] public ulong SignalStackLow;
    [FieldOffset(208)] public ulong SignalStackHigh;

    /// <summary>1 from entry until the first signal.</summary>
    [FieldOffset(216)] public ulong Active;
    [FieldOffset(224)] public ulong Signal;
    [FieldOffset(232)] public ulong TrapNumber;
    [FieldOffset(240)] public ulong ErrorCode;
    [FieldOffset(248)] public ulong FaultAddress;
    [FieldOffset(256)] public ulong ExitAddress;
    [FieldOffset(264)] public uint HostMxcsr;
    [FieldOffset(268)] public uint Mxcsr;
    [FieldOffset(320)] public fixed byte Vectors[16 * 32];
    [FieldOffset(832)] public fixed byte X87[TestState.X87Size];

    /// <summary>Handlers that were installed before, by signal number.</summary>
    [FieldOffset(1344)] public fixed ulong PreviousHandlers[32];
}
