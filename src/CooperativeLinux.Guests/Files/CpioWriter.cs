using System.Globalization;
using System.Text;

namespace CooperativeLinux.Guests.Files;

/// <summary>
/// Writes a <see cref="FileTree"/> as a cpio archive in the "newc" format, the format of initramfs images
/// (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's sources). Archives may be
/// appended to each other: the length is always a multiple of 512 bytes.
/// </summary>
public static class CpioWriter
{
    private const int BlockSize = 512;
    private const string Trailer = "TRAILER!!!";

    /// <summary>Writes the whole archive.</summary>
    /// <exception cref="GuestBuildException">A file is too large for the format (4 GiB) or cannot be read.</exception>
    public static async Task WriteAsync(FileTree tree, Stream output, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(tree);
        ArgumentNullException.ThrowIfNull(output);

        Dictionary<FileNode, HardLink> links = new(ReferenceEqualityComparer.Instance);
        foreach ((string path, FileNode node) in tree.Entries)
        {
            if (!links.TryGetValue(node, out HardLink? link))
            {
                links[node] = link = new HardLink(links.Count + 1);
            }

            link.Count++;
            link.LastPath = path;
        }

        long position = 0;
        foreach ((string path, FileNode node) in tree.Entries)
        {
            position = await WriteEntryAsync(path, node, links[node], output, position, cancellationToken).ConfigureAwait(false);
        }

        FileNode end = new() { Kind = 0, Permissions = 0 };
        position = await WriteHeaderAsync(Trailer, end, new HardLink(0) { Count = 1 }, 0, output, position, cancellationToken)
            .ConfigureAwait(false);
        await PadAsync(output, position, BlockSize, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes the whole archive to a new file.</summary>
    /// <exception cref="GuestBuildException">A file is too large for the format (4 GiB) or cannot be read.</exception>
    public static async Task WriteAsync(FileTree tree, string path, CancellationToken cancellationToken = default)
    {
        FileStream output = new(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 20);
        await using (output.ConfigureAwait(false))
        {
            await WriteAsync(tree, output, cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task<long> WriteEntryAsync(
        string path, FileNode node, HardLink link, Stream output, long position, CancellationToken cancellationToken)
    {
        if (node.Kind == FileKind.SymbolicLink)
        {
            byte[] target = Encoding.UTF8.GetBytes(node.Target ?? "");
            position = await WriteHeaderAsync(path, node, link, target.Length, output, position, cancellationToken).ConfigureAwait(false);
            await output.WriteAsync(target, cancellationToken).ConfigureAwait(false);
            return await PadAsync(output, position + target.Length, 4, cancellationToken).ConfigureAwait(false);
        }

        // The content of hard links goes with the last of them, as other writers do and readers expect.
        if (node.Kind != FileKind.Regular || link.LastPath != path)
        {
            return await WriteHeaderAsync(path, node, link, 0, output, position, cancellationToken).ConfigureAwait(false);
        }

        if (node.ContentPath is null)
        {
            position = await WriteHeaderAsync(path, node, link, node.Content.Length, output, position, cancellationToken)
                .ConfigureAwait(false);
            await output.WriteAsync(node.Content, cancellationToken).ConfigureAwait(false);
            return await PadAsync(output, position + node.Content.Length, 4, cancellationToken).ConfigureAwait(false);
        }

        FileStream input;
        try
        {
            input = new FileStream(node.ContentPath, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new GuestBuildException($"cannot read {node.ContentPath}: {error.Message}", error);
        }

        await using (input.ConfigureAwait(false))
        {
            long length = input.Length;
            position = await WriteHeaderAsync(path, node, link, length, output, position, cancellationToken).ConfigureAwait(false);
            await input.CopyToAsync(output, 1 << 20, cancellationToken).ConfigureAwait(false);
            return input.Position == length
                ? await PadAsync(output, position + length, 4, cancellationToken).ConfigureAwait(false)
                : throw new GuestBuildException($"{node.ContentPath} changed while it was read");
        }
    }

    private static async Task<long> WriteHeaderAsync(
        string path, FileNode node, HardLink link, long length, Stream output, long position, CancellationToken cancellationToken)
    {
        if (length > uint.MaxValue)
        {
            throw new GuestBuildException($"/{path} is too large for an initramfs ({length} bytes)");
        }

        byte[] name = Encoding.UTF8.GetBytes(path + "\0");
        string header = string.Create(
            CultureInfo.InvariantCulture,
            $"070701{link.Inode:X8}{(int)node.Kind | (node.Permissions & 0xFFF):X8}{node.UserId:X8}{node.GroupId:X8}{link.Count:X8}"
            + $"{(uint)Math.Clamp(node.ModifiedSeconds, 0, uint.MaxValue):X8}{length:X8}{0:X8}{0:X8}"
            + $"{node.DeviceMajor:X8}{node.DeviceMinor:X8}{name.Length:X8}{0:X8}");
        await output.WriteAsync(Encoding.ASCII.GetBytes(header), cancellationToken).ConfigureAwait(false);
        await output.WriteAsync(name, cancellationToken).ConfigureAwait(false);
        return await PadAsync(output, position + header.Length + name.Length, 4, cancellationToken).ConfigureAwait(false);
    }

    private static async Task<long> PadAsync(Stream output, long position, int alignment, CancellationToken cancellationToken)
    {
        int missing = (int)((alignment - (position % alignment)) % alignment);
        if (missing > 0)
        {
            await output.WriteAsync(new byte[missing], cancellationToken).ConfigureAwait(false);
        }

        return position + missing;
    }

    private sealed class HardLink(int inode)
    {
        public int Inode => inode;

        public int Count { get; set; }

        public string LastPath { get; set; } = "";
    }
}
