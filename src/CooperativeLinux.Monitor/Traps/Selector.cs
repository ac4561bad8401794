namespace CooperativeLinux.Monitor.Traps;

/// <summary>Segment selectors with a fixed meaning (pv-interface 2.1) and positions in the state's selector array.</summary>
internal static class Selector
{
    /// <summary>The flat segments in the hypervisor's part of the GDT.</summary>
    public const ushort FlatKernelCode = 0xe033, FlatKernelData = 0xe02b, FlatCode32 = 0xe023;

    /// <summary>Linux's 64-bit user code segment.</summary>
    public const ushort LinuxUserCode = 0x33;

    /// <summary>x86 encoding of the segment registers.</summary>
    public const int Es = 0, Cs = 1, Ss = 2, Ds = 3, Fs = 4, Gs = 5;

    /// <summary>The requested privilege level.</summary>
    public const int RplMask = 3;

    /// <summary>Set: the descriptor is in the LDT.</summary>
    public const int TableIndicator = 4;

    /// <summary>Whether the selector loads the null segment.</summary>
    public static bool IsNull(ushort selector) => (selector & ~RplMask) == 0;

    /// <summary>The error code of a fault about this selector.</summary>
    public static uint ErrorCode(ushort selector) => (uint)(selector & ~RplMask);
}
