using System.Runtime.InteropServices;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Emission;

/// <summary>Offsets in the data region that emitted code may name, taken from the structures themselves.</summary>
internal static class StateLayout
{
    public const int EngineOffset = VcpuState.TotalSize;

    public const int InlineTlbOffset = EngineOffset + EngineState.TotalSize;

    /// <summary>Bytes of the data region in front of the code: architectural state, engine state, the inline TLB.</summary>
    public const int DataSize = InlineTlbOffset + InlineTlb.TotalBytes;

    public static readonly int Rip = Architectural(nameof(VcpuState.Rip));
    public static readonly int ArithmeticFlags = Architectural(nameof(VcpuState.ArithmeticFlags));
    public static readonly int SystemFlags = Architectural(nameof(VcpuState.SystemFlags));
    public static readonly int FsBase = Architectural(nameof(VcpuState.FsBase));
    public static readonly int GsBase = Architectural(nameof(VcpuState.GsBase));
    public static readonly int Mxcsr = Architectural(nameof(VcpuState.Mxcsr));
    public static readonly int Selectors = Architectural(nameof(VcpuState.Selectors));
    public static readonly int Vectors = Architectural(nameof(VcpuState.Vectors));

    public static readonly int HostRsp = Engine(nameof(EngineState.HostRsp));
    public static readonly int PairBase = Engine(nameof(EngineState.PairBase));
    public static readonly int Limit = Engine(nameof(EngineState.Limit));
    public static readonly int DepthTag = Engine(nameof(EngineState.DepthTag));
    public static readonly int PollClear = Engine(nameof(EngineState.PollClear));
    public static readonly int Handle = Engine(nameof(EngineState.Handle));
    public static readonly int Argument = Engine(nameof(EngineState.Argument));
    public static readonly int Scratch0 = Engine(nameof(EngineState.Scratch0));
    public static readonly int Scratch1 = Engine(nameof(EngineState.Scratch1));
    public static readonly int ResumeRsp = Engine(nameof(EngineState.ResumeRsp));
    public static readonly int ResumeTarget = Engine(nameof(EngineState.ResumeTarget));
    public static readonly int Park0 = Engine(nameof(EngineState.Park0));
    public static readonly int Park1 = Engine(nameof(EngineState.Park1));
    public static readonly int Park2 = Engine(nameof(EngineState.Park2));
    public static readonly int SecondTlbs = Engine(nameof(EngineState.SecondTlbs));
    public static readonly int Generation = Engine(nameof(EngineState.Generation));
    public static readonly int KernelGeneration = Engine(nameof(EngineState.KernelGeneration));
    public static readonly int ParkRax = Engine(nameof(EngineState.ParkRax));
    public static readonly int ParkedFlags = Engine(nameof(EngineState.ParkedFlags));
    public static readonly int DefaultMxcsr = Engine(nameof(EngineState.DefaultMxcsr));
    public static readonly int CallTarget = Engine(nameof(EngineState.CallTarget));
    public static readonly int Tlbs = Engine(nameof(EngineState.Tlbs));
    public static readonly int KernelStackNegative = Engine(nameof(EngineState.KernelStackNegative));
    public static readonly int KernelStackDelta = Engine(nameof(EngineState.KernelStackDelta));
    public static readonly int UserStackNegative = Engine(nameof(EngineState.UserStackNegative));
    public static readonly int UserStackDelta = Engine(nameof(EngineState.UserStackDelta));
    public static readonly int BranchTable = Engine(nameof(EngineState.BranchTable));
    public static readonly int BranchTarget = Engine(nameof(EngineState.BranchTarget));
    public static readonly int PageSlots = Engine(nameof(EngineState.PageSlots));
    public static readonly int Callbacks = Engine(nameof(EngineState.Callbacks));
    public static readonly int StringTarget = Engine(nameof(EngineState.StringTarget));
    public static readonly int Bounce = Engine(nameof(EngineState.Bounce));
    public static readonly int FpuImage = Engine(nameof(EngineState.FpuImage));

    /// <summary>Offset of the distance from guest to host address of a base group.</summary>
    public static int BaseDelta(int slot) => Engine(nameof(EngineState.BaseDeltas)) + (slot * 8);

    /// <summary>Offset of the page address of an entry of the inline TLB.</summary>
    public static int InlinePage(int entry) => InlineTlbOffset + (entry * sizeof(ulong));

    /// <summary>Offset of its distance from guest to host address.</summary>
    public static int InlineDistance(int entry) => InlinePage(entry) + InlineTlb.ArrayBytes;

    /// <summary>Offset of a guest general register in memory.</summary>
    public static int Register(int number) => number * 8;

    private static int Architectural(string field) => (int)Marshal.OffsetOf<VcpuState>(field);

    private static int Engine(string field) => EngineOffset + (int)Marshal.OffsetOf<EngineState>(field);
}
