using CooperativeLinux.Host.Disks.Sys;

namespace CooperativeLinux.Host.Disks;

/// <summary>What is behind a name in the host's file system.</summary>
public static class HostFile
{
    /// <summary>Whether it is a regular file, or a link to one: nothing that can make its opener wait, such as a pipe.</summary>
    /// <param name="path">The name.</param>
    /// <returns>False also if there is nothing, or it cannot be looked at. On Windows, where pipes have names of their own, whether a file exists.</returns>
    public static bool IsRegular(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return OperatingSystem.IsWindows()
            ? File.Exists(path)
            : LinuxDiskCalls.Status(LinuxDiskCalls.AtCurrentFolder, path, 0, LinuxDiskCalls.StatxBasic, out LinuxDiskCalls.FileStatus status) == 0
                && status.Type == LinuxDiskCalls.FileStatus.RegularFile;
    }
}
