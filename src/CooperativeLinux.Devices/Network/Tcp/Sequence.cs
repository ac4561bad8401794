namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>Comparison of TCP sequence numbers, which wrap.</summary>
internal static class Sequence
{
    public static bool IsBefore(uint a, uint b) => (int)(a - b) < 0;

    public static bool IsAfter(uint a, uint b) => (int)(a - b) > 0;

    public static uint Max(uint a, uint b) => IsAfter(a, b) ? a : b;
}
