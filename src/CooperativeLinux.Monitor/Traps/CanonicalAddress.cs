namespace CooperativeLinux.Monitor.Traps;

/// <summary>Rules of 48-bit virtual addresses.</summary>
internal static class CanonicalAddress
{
    /// <summary>Whether bits 63 to 47 are equal.</summary>
    public static bool IsCanonical(ulong address) => ((long)(address << 16) >> 16) == (long)address;
}
