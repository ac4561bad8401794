namespace CooperativeLinux.Monitor.Domain;

/// <summary>
/// Machine frames that are no RAM. They lie above all RAM a Debian kernel can ever be given (512 GiB) and below
/// 2^32, as version 1 grants hold 32-bit frame numbers.
/// </summary>
public static class SpecialFrames
{
    /// <summary>The shared_info page.</summary>
    public const ulong SharedInfo = 0x0f00_0000;

    /// <summary>First frame of the grant table; its further frames follow.</summary>
    public const ulong GrantTable = 0x0f00_0100;
}
