using CooperativeLinux.Devices.FileShare.Sys;

namespace CooperativeLinux.Devices.FileShare.Files;

/// <summary>A folder of the host that is shared.</summary>
internal abstract class HostFolder
{
    /// <summary>The folder itself; belongs to this object.</summary>
    public abstract HostNode Root { get; }

    /// <summary>File system of the root.</summary>
    public abstract ulong Device { get; }

    /// <summary>Numbers of the user and group that files made here get.</summary>
    public abstract uint HostUser { get; }

    /// <summary>See <see cref="HostUser"/>.</summary>
    public abstract uint HostGroup { get; }

    /// <summary>Files that a guest may have open at once.</summary>
    public virtual int MaxOpenFiles => 4096;

    /// <summary>Whether the file system is one of this machine's own, which as a rule answers from memory and never waits for others.</summary>
    public virtual bool IsLocal => false;

    /// <summary>Opens a folder.</summary>
    /// <exception cref="IOException">It cannot be opened; the message is made for the user.</exception>
    public static HostFolder Open(string path) => OperatingSystem.IsWindows() ? WindowsFolder.Open(path) : LinuxFolder.Open(path);
}
