using CooperativeLinux.Guests.Packages;

namespace CooperativeLinux.Guests.Images;

/// <summary>Debian's static busybox, taken from its package.</summary>
/// <param name="Path">The host's file with the program.</param>
/// <param name="Applets">The applets' usual places in a file system, such as <c>bin/sh</c> and <c>usr/bin/awk</c>.</param>
internal sealed record Busybox(string Path, IReadOnlyList<string> Applets)
{
    /// <summary>Fetches and unpacks it into a work folder.</summary>
    /// <exception cref="GuestBuildException">It cannot be had.</exception>
    public static async Task<Busybox> GetAsync(
        AptWorkspace apt, string workFolder, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        IReadOnlyList<string> files = await apt.DownloadAsync(["busybox-static"], workFolder, progress, cancellationToken)
            .ConfigureAwait(false);
        string unpacked = System.IO.Path.Combine(workFolder, "busybox");
        Tool.Result dpkg = await Tool.RunAsync("dpkg-deb", ["-x", files[0], unpacked], cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        if (dpkg.ExitCode != 0)
        {
            throw new GuestBuildException($"cannot unpack {System.IO.Path.GetFileName(files[0])}: {dpkg.Complaint}");
        }

        string? program = ((string[])["bin/busybox", "usr/bin/busybox"])
            .Select(name => System.IO.Path.Combine(unpacked, name)).FirstOrDefault(File.Exists);
        if (program is null)
        {
            throw new GuestBuildException("the package busybox-static has no bin/busybox");
        }

        Tool.Result list = await Tool.RunAsync(program, ["--list-full"], cancellationToken: cancellationToken).ConfigureAwait(false);
        return new Busybox(program, list.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }
}
