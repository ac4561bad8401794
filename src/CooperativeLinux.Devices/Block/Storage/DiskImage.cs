using System.Globalization;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>Work on disk files that no machine uses.</summary>
/// <remarks>All methods throw an <see cref="IOException"/> whose message is one line for the user.</remarks>
public static class DiskImage
{
    /// <summary>Makes a raw disk of zeros, which takes no storage until it is written.</summary>
    /// <param name="path">Where nothing is yet.</param>
    /// <param name="length">Bytes, a multiple of the sector size.</param>
    public static void Create(string path, long length) => CreateFile(path, file =>
    {
        file.SetLength(length);
        file.Flush();
    });

    /// <summary>Changes the size of a raw disk or an overlay.</summary>
    /// <param name="path">The disk.</param>
    /// <param name="length">Bytes, a multiple of the sector size.</param>
    /// <param name="mayShrink">Whether what lies behind the new end may be lost.</param>
    public static void Resize(string path, long length, bool mayShrink)
    {
        using (DiskFile file = DiskFile.Open(path, isWritable: true))
        {
            if (!IsOverlay(file))
            {
                if (file.IsDevice)
                {
                    throw new IOException($"{path} is a device, whose size is what it is");
                }

                if (Qcow2Header.IsAtStartOf(file))
                {
                    throw new IOException($"{path} is a qcow2 image, which is not written; an overlay over it can be larger: colinux disk create OVERLAY --base {path} --size SIZE");
                }

                CheckResize(path, file.Length, length, mayShrink);
                file.SetLength(length);
                file.Flush();
                return;
            }
        }

        OverlayImage.Resize(path, length, mayShrink);
    }

    /// <summary>Describes a disk.</summary>
    /// <returns>Names and values for people.</returns>
    public static IReadOnlyList<(string Name, string Value)> Describe(string path)
    {
        using DiskFile file = DiskFile.Open(path, isWritable: false);
        return IsOverlay(file)
            ? [.. OverlayImage.Describe(file)]
            : Qcow2Header.IsAtStartOf(file)
                ? [.. Qcow2Disk.Describe(file)]
            : file.IsDevice
                ? [("format", "block device"), ("size", Bytes(file.Length))]
                : [("format", "raw"), ("size", Bytes(file.Length)), ("on the host", Bytes(file.AllocatedLength))];
    }

    /// <summary>Makes a file, which is gone again if that fails.</summary>
    internal static void CreateFile(string path, Action<DiskFile> fill)
    {
        DiskFile file = DiskFile.Create(path);
        try
        {
            fill(file);
            file.Dispose();
        }
        catch
        {
            file.Dispose();
            File.Delete(path);
            throw;
        }
    }

    /// <summary>A number of bytes for people, exact and in the largest unit below it.</summary>
    internal static string Bytes(long bytes)
    {
        string[] units = ["KiB", "MiB", "GiB", "TiB"];
        int unit = -1;
        double value = bytes;
        while (value >= 1024 && unit < units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return unit < 0
            ? $"{bytes} bytes"
            : string.Create(CultureInfo.InvariantCulture, $"{value:0.##} {units[unit]} ({bytes} bytes)");
    }

    internal static void CheckResize(string path, long oldLength, long newLength, bool mayShrink)
    {
        if (newLength < oldLength && !mayShrink)
        {
            throw new IOException($"{path} has {Bytes(oldLength)}; what lies behind the new end would be lost (--shrink if that is as it should be)");
        }
    }

    private static bool IsOverlay(DiskFile file)
    {
        Span<byte> start = stackalloc byte[Disk.SectorSize];
        file.Read(start, 0);
        return start.StartsWith(OverlayHeader.Magic);
    }
}
