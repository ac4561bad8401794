namespace CooperativeLinux;

/// <summary>Why a machine could not be started.</summary>
public enum MachineStartFailure
{
    /// <summary>The kernel or an initramfs cannot be read, is none, or is of a kind that cannot be run.</summary>
    BadImage,

    /// <summary>The host does not give what the machine needs, such as memory or a file to write to.</summary>
    Host,
}
