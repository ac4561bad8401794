namespace CooperativeLinux.Monitor.Events;

/// <summary>
/// Frame numbers of the pages the monitor owns and shares with the guest. They lie above any RAM or hot-plug range of
/// the kernel (512 GiB), so that it never takes them for its own, and below 2^32, the reach of version 1 grants.
/// </summary>
public static class SpecialFrames
{
    /// <summary>The shared_info page.</summary>
    public const ulong SharedInfo = 0x0f00_0000;

    /// <summary>First frame of the grant table; its further frames follow.</summary>
    public const ulong GrantTable = 0x0f00_0100;
}
