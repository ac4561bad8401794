using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace CooperativeLinux.Monitor.Events;

/// <summary>vcpu_time_info: how a vCPU turns its time stamp counter into system time.</summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
public struct VcpuTimeInfo
{
    /// <summary>Bytes.</summary>
    public const int TotalSize = 32;

    /// <summary>Odd while the other fields change.</summary>
    [FieldOffset(0)] public uint Version;

    /// <summary>Counter value at which <see cref="SystemTime"/> was right.</summary>
    [FieldOffset(8)] public ulong TscTimestamp;

    /// <summary>Nanoseconds since the domain started.</summary>
    [FieldOffset(16)] public ulong SystemTime;

    /// <summary>Nanoseconds per shifted tick, as a fraction of 2^32.</summary>
    [FieldOffset(24)] public uint TscMultiplier;

    /// <summary>Left shift of ticks before the multiplication; negative: right shift.</summary>
    [FieldOffset(28)] public sbyte TscShift;

    /// <summary>Bit 0: the counters of all vCPUs agree.</summary>
    [FieldOffset(29)] public byte Flags;
}

/// <summary>vcpu_info: the event state of one vCPU.</summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
public struct VcpuInfo
{
    /// <summary>Bytes.</summary>
    public const int TotalSize = 64;

    /// <summary>Non-zero: an event waits for the upcall.</summary>
    [FieldOffset(0)] public byte UpcallPending;

    /// <summary>Non-zero: "interrupts disabled".</summary>
    [FieldOffset(1)] public byte UpcallMask;

    /// <summary>Bit i: a port in word i of the pending array asks for attention.</summary>
    [FieldOffset(8)] public ulong PendingSelector;

    /// <summary>Address of the last page fault.</summary>
    [FieldOffset(16)] public ulong Cr2;

    [FieldOffset(32)] public VcpuTimeInfo Time;
}

/// <summary>One bit for each of the 4096 ports.</summary>
[InlineArray(64)]
public struct PortBits
{
    private ulong _first;
}

/// <summary>The vcpu_info slots within shared_info.</summary>
[InlineArray(SharedInfo.LegacySlots)]
public struct VcpuInfoSlots
{
    private VcpuInfo _first;
}

/// <summary>shared_info as a 64-bit PV guest sees it; the rest of its page is unused.</summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
public struct SharedInfo
{
    /// <summary>Bytes.</summary>
    public const int TotalSize = 3136;

    /// <summary>vCPUs that have a vcpu_info inside shared_info.</summary>
    public const int LegacySlots = 32;

    [FieldOffset(0)] public VcpuInfoSlots VcpuSlots;
    [FieldOffset(2048)] public PortBits Pending;
    [FieldOffset(2560)] public PortBits Mask;

    /// <summary>Odd while the wall clock fields change.</summary>
    [FieldOffset(3072)] public uint WallClockVersion;

    /// <summary>UNIX time at system time 0, in seconds, bits 31:0.</summary>
    [FieldOffset(3076)] public uint WallClockSeconds;

    [FieldOffset(3080)] public uint WallClockNanoseconds;

    /// <summary>Bits 63:32 of the seconds.</summary>
    [FieldOffset(3084)] public uint WallClockSecondsHigh;
}
