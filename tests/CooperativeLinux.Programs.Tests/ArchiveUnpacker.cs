using System.Globalization;
using System.Text;

namespace CooperativeLinux.Programs.Tests;

/// <summary>
/// Unpacks initramfs archives (cpio, "newc" format) into a folder, as the caller's own files. Device nodes are left out: making
/// them takes root.
/// </summary>
internal sealed class ArchiveUnpacker(string folder)
{
    private const int HeaderSize = 110, FieldSize = 8;
    private const int KindMask = 0xF000, Folder = 0x4000, Regular = 0x8000, SymbolicLink = 0xA000;

    private readonly List<(string Path, int Mode)> _folders = [];

    /// <summary>Unpacks one archive over what is there.</summary>
    public void Unpack(string archive)
    {
        using BufferedStream input = new(File.OpenRead(archive), 1 << 20);
        Dictionary<int, List<string>> links = [];
        byte[] header = new byte[HeaderSize];
        while (true)
        {
            input.ReadExactly(header);
            Assert.Equal("070701", Encoding.ASCII.GetString(header, 0, 6));
            int inode = Field(header, 0), mode = Field(header, 1), size = Field(header, 6), nameSize = Field(header, 11);
            byte[] name = new byte[nameSize];
            input.ReadExactly(name);
            Skip(input, -(HeaderSize + nameSize) & 3);
            string entry = Encoding.UTF8.GetString(name, 0, nameSize - 1);
            if (entry == "TRAILER!!!")
            {
                break;
            }

            string path = Path.Combine(folder, entry);
            Assert.StartsWith(folder + "/", Path.GetFullPath(path) + "/", StringComparison.Ordinal);
            switch (mode & KindMask)
            {
                case Folder:
                    Directory.CreateDirectory(path);
                    _folders.Add((path, mode));
                    break;
                case SymbolicLink:
                    byte[] target = new byte[size];
                    input.ReadExactly(target);
                    File.Delete(path);
                    File.CreateSymbolicLink(path, Encoding.UTF8.GetString(target));
                    break;
                case Regular:
                    // The content comes with the last of several hard links.
                    WriteFile(path, mode, size, input);
                    links.TryAdd(inode, []);
                    links[inode].ForEach(link => File.Copy(path, link, overwrite: true));
                    links[inode].Add(path);
                    break;
                default:
                    Skip(input, size);
                    break;
            }

            Skip(input, -size & 3);
        }
    }

    /// <summary>Gives the folders their modes, which may be such that nothing can be added any more.</summary>
    public void Finish()
    {
        foreach ((string path, int mode) in Enumerable.Reverse(_folders))
        {
            SetMode(path, mode);
        }
    }

    private static void WriteFile(string path, int mode, int size, Stream input)
    {
        File.Delete(path);
        using FileStream output = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        byte[] buffer = new byte[1 << 16];
        while (size > 0)
        {
            int length = Math.Min(size, buffer.Length);
            input.ReadExactly(buffer, 0, length);
            output.Write(buffer, 0, length);
            size -= length;
        }

        SetMode(path, mode);
    }

    private static void SetMode(string path, int mode)
    {
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, (UnixFileMode)(mode & 0xFFF));
        }
    }

    private static void Skip(Stream input, int count)
    {
        Span<byte> rest = stackalloc byte[4];
        for (; count > 0; count -= Math.Min(count, rest.Length))
        {
            input.ReadExactly(rest[..Math.Min(count, rest.Length)]);
        }
    }

    private static int Field(byte[] header, int index)
    {
        return int.Parse(Encoding.ASCII.GetString(header, 6 + (index * FieldSize), FieldSize), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
