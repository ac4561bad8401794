namespace CooperativeLinux.Programs.Tests;

/// <summary>The files of a guest's image in a folder of the host, where the same programs run natively.</summary>
internal sealed class NativeRoot : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"colinux-programs-{Guid.NewGuid():N}");

    private static string[] Isolation => [.. Environment.UserName == "root" ? (string[])[] : ["--map-root-user"], "--mount", "--pid", "--fork", "--kill-child"];

    /// <summary>Why programs cannot be run like this here, or null if they can.</summary>
    public static string? Obstacle()
    {
        if (!OperatingSystem.IsLinux())
        {
            return "the programs are Linux programs";
        }

        (int status, string output) = HostProcess.Run("unshare", [.. Isolation, "true"], TimeSpan.FromSeconds(30));
        return status == 0 ? null : $"this host lets nobody make namespaces, which native runs need: {output.Trim()}";
    }

    /// <summary>Unpacks archives, later ones over earlier ones.</summary>
    public NativeRoot(params string[] archives)
    {
        Directory.CreateDirectory(_folder);
        ArchiveUnpacker unpacker = new(_folder);
        foreach (string archive in archives)
        {
            unpacker.Unpack(archive);
        }

        unpacker.Finish();
    }

    /// <summary>Runs a command in the folder, as its root user, with file systems like those of the guest.</summary>
    /// <returns>The exit status and all that was printed.</returns>
    public (int Status, string Output) Run(string command, TimeSpan limit)
    {
        string script = "mkdir -p \"$1/dev\" \"$1/proc\" \"$1/tmp\" && mount --rbind /dev \"$1/dev\" && mount -t proc proc \"$1/proc\" && mount -t tmpfs tmp \"$1/tmp\" && PATH=$PATH:/usr/sbin:/sbin && exec chroot \"$1\" /bin/sh -c \"$2\"";
        return HostProcess.Run(
            "unshare", [.. Isolation, "sh", "-c", script, "sh", _folder, command], limit);
    }

    public void Dispose()
    {
        Directory.Delete(_folder, recursive: true);
    }
}
