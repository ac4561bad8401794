namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>The version of the PV interface that is claimed: 4.17.</summary>
internal static class InterfaceVersion
{
    public const uint Major = 4, Minor = 17;

    public const uint Number = (Major << 16) | Minor;

    public const string Extra = ".0";
}
