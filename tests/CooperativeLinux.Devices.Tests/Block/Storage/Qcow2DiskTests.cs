using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Host.Disks;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Block.Storage;

/// <summary>Images made by qemu-img (Debian: qemu-utils) are read as what they were made of, and damaged ones fail with one line.</summary>
public sealed class Qcow2DiskTests : IDisposable
{
    private const string NotInstalled = "qemu-img is not installed";

    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-qcow2-").FullName;

    public static bool HasTool => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "qemu-img")));

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory(Skip = NotInstalled, SkipUnless = nameof(HasTool))]
    [InlineData("-o compat=0.10")]
    [InlineData("-o compat=0.10,cluster_size=512 -c")]
    [InlineData("-o compat=1.1")]
    [InlineData("-o cluster_size=512")]
    [InlineData("-o cluster_size=2M")]
    [InlineData("-c")]
    [InlineData("-c -o cluster_size=4K")]
    [InlineData("-c -o cluster_size=2M")]
    [InlineData("-c -o compression_type=zstd")]
    [InlineData("-c -o compression_type=zstd,cluster_size=2M")]
    public void Image_OfAnyKind_ReadsAsWhatItWasMadeOf(string options)
    {
        byte[] content = MakeContent();
        string path = Convert(content, options);
        using BaseDisk disk = BaseDisk.OpenReadOnly(path);
        Assert.IsType<Qcow2Disk>(disk);
        Assert.Equal(content.Length, disk.Length);
        Assert.True(disk.IsReadOnly);

        byte[] whole = new byte[content.Length];
        for (int position = 0; position < whole.Length; position += 1 << 20)
        {
            Read(disk, whole.AsSpan(position, Math.Min(1 << 20, whole.Length - position)), position, isCached: false);
        }

        Assert.True(whole.AsSpan().SequenceEqual(content), "the content differs");
        Random random = new(1);
        int cached = 0;
        for (int i = 0; i < 200; i++)
        {
            int first = random.Next(content.Length / 512);
            byte[] part = new byte[Math.Min(1 + random.Next(300), (content.Length / 512) - first) * 512];
            if (i % 2 == 0 || !Read(disk, part, first * 512L, isCached: true))
            {
                Read(disk, part, first * 512L, isCached: false);
            }
            else
            {
                cached++;
            }

            Assert.True(part.AsSpan().SequenceEqual(content.AsSpan(first * 512, part.Length)), $"{part.Length} bytes at sector {first} differ");
        }

        Assert.True(cached > 0, "nothing was read without waiting");
    }

    [Fact(Skip = NotInstalled, SkipUnless = nameof(HasTool))]
    public void Overlay_OverAnImage_KeepsWhatIsWrittenAndTheImageStays()
    {
        byte[] content = MakeContent();
        string path = Convert(content, "-c");
        byte[] image = File.ReadAllBytes(path);
        string overlay = Path.Combine(_folder, "overlay");
        OverlayImage.Create(overlay, path, (content.Length / 512 * 512) + (1 << 20));
        byte[] written = Enumerable.Repeat((byte)7, 1024).ToArray();
        using (OverlayDisk disk = OverlayDisk.Open(overlay, path, isReadOnly: false))
        {
            Write(disk, written, 3 << 20);
        }

        using OverlayDisk again = OverlayDisk.Open(overlay, path, isReadOnly: false);
        written.CopyTo(content, 3 << 20);
        byte[] read = new byte[content.Length + (1 << 20)];
        for (int position = 0; position < read.Length; position += 64 << 10)
        {
            Read(again, read.AsSpan(position, Math.Min(64 << 10, read.Length - position)), position, isCached: false);
        }

        Assert.True(read.AsSpan(0, content.Length).SequenceEqual(content), "the content differs");
        Assert.False(read.AsSpan(content.Length).ContainsAnyExcept((byte)0), "what is behind the image's end is not zero");
        Assert.Equal(image, File.ReadAllBytes(path));
        again.Dispose();
        Assert.Contains("cannot be written into", Assert.Throws<IOException>(() => OverlayImage.Commit(overlay, path)).Message, StringComparison.Ordinal);
        Assert.Contains("not written", Assert.Throws<IOException>(() => DiskImage.Resize(path, 1 << 30, mayShrink: false)).Message, StringComparison.Ordinal);
        Assert.Contains("which is read but not written", Assert.Throws<IOException>(() => RawDisk.Open(path, isReadOnly: false)).Message, StringComparison.Ordinal);
        Assert.Equal(image, File.ReadAllBytes(path));
    }

    [Fact(Skip = NotInstalled, SkipUnless = nameof(HasTool))]
    public void Info_OfAnImage_TellsFormatAndSize()
    {
        string path = Convert(new byte[1 << 20], "-c -o compression_type=zstd");

        Dictionary<string, string> info = DiskImage.Describe(path).ToDictionary(pair => pair.Name, pair => pair.Value);

        Assert.Equal("qcow2, version 3, read-only", info["format"]);
        Assert.Equal("1 MiB (1048576 bytes)", info["size"]);
        Assert.Equal("64 KiB (65536 bytes)", info["clusters"]);
        Assert.Equal("zstd", info["packed by"]);
    }

    [Theory(Skip = NotInstalled, SkipUnless = nameof(HasTool))]
    [InlineData("create -f qcow2 -b {0}/base -F raw {0}/image", "backing file, which is not opened")]
    [InlineData("create -f qcow2 -o data_file={0}/data {0}/image 1M", "another file, which is not opened")]
    [InlineData("create -f qcow2 -o extended_l2=on {0}/image 1M", "extended L2 entries")]
    [InlineData("create --object secret,id=s,data=x -f qcow2 -o encrypt.format=aes,encrypt.key-secret=s {0}/image 1M", "is encrypted")]
    public void Image_ThatNeedsMore_IsRefused(string arguments, string reason)
    {
        File.WriteAllBytes(Path.Combine(_folder, "base"), new byte[4096]);
        Run(string.Format(null, arguments, _folder));

        string message = Assert.Throws<IOException>(() => BaseDisk.OpenReadOnly(Path.Combine(_folder, "image"))).Message;

        Assert.Contains(reason, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Theory]
    [InlineData(4, 4u)]
    [InlineData(20, 8u)]
    [InlineData(20, 31u)]
    [InlineData(24, 0x7fff_ffffu)]
    [InlineData(32, 1u)]
    [InlineData(36, 0u)]
    [InlineData(40, 1u)]
    [InlineData(44, 0x20001u)]
    [InlineData(44, 0x7fff_0000u)]
    [InlineData(76, 2u)]
    [InlineData(76, 32u)]
    [InlineData(100, 8u)]
    public void Header_ThatMakesNoSense_IsRefusedWithOneLine(int offset, uint value)
    {
        byte[] image = MakeImage();
        Open(image).Dispose();
        BinaryPrimitives.WriteUInt32BigEndian(image.AsSpan(offset), value);

        string message = Assert.Throws<IOException>(() => Open(image)).Message;

        Assert.StartsWith("the qcow2 image ", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void Image_WithAnythingInIt_IsReadOrFailsWithOneLine()
    {
        // COLINUX_TEST_SEED repeats a failure.
        int seed = int.TryParse(Environment.GetEnvironmentVariable("COLINUX_TEST_SEED"), out int given) ? given : Environment.TickCount & 0xffffff;
        List<byte[]> images = [MakeImage()];
        if (HasTool)
        {
            images.AddRange(new[] { "-c", "-c -o compression_type=zstd,cluster_size=4K", "-o cluster_size=512" }.Select(options => File.ReadAllBytes(Convert(MakeContent(1 << 20), options))));
        }

        int failures = 0;
        for (int i = 0; i < 200; i++)
        {
            Random random = new(seed + i);
            byte[] image = [.. images[random.Next(images.Count)]];
            Spoil(image, random);
            images[0].AsSpan(0, 4).CopyTo(image);
            try
            {
                using Qcow2Disk disk = Open(image);
                byte[] part = new byte[1 << 20];
                for (int j = 0; j < 4; j++)
                {
                    Span<byte> piece = part.AsSpan(0, (int)Math.Min(part.Length, disk.Length));
                    Read(disk, piece, random.NextInt64((disk.Length - piece.Length) / 512 + 1) * 512, isCached: false);
                }
            }
            catch (IOException exception)
            {
                failures++;
                Assert.True(exception.Message.StartsWith("the qcow2 image ", StringComparison.Ordinal) && !exception.Message.Contains('\n'), $"seed {seed + i}: {exception.Message}");
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed + i}: {exception}");
            }
        }

        Assert.InRange(failures, 1, 199);
    }

    /// <summary>Puts random numbers where the image has its header, its tables or its data.</summary>
    private static void Spoil(byte[] image, Random random)
    {
        int from = random.Next(5) == 0 ? random.Next(120) : random.Next(image.Length / 8) * 8;
        for (int i = random.Next(1, 200); i > 0; i--)
        {
            switch (random.Next(3))
            {
                case 0:
                    image[Math.Min(from + random.Next(64), image.Length - 1)] = (byte)random.Next(256);
                    break;
                case 1:
                    // A place, such as tables have.
                    ulong place = ((ulong)random.Next(image.Length * 2) & ~511ul) | ((ulong)random.Next(4) << 62);
                    BinaryPrimitives.WriteUInt64BigEndian(image.AsSpan(random.Next(image.Length / 8) * 8), place);
                    break;
                default:
                    image[random.Next(image.Length)] ^= (byte)(1 << random.Next(8));
                    break;
            }
        }
    }

    /// <summary>Version 3, clusters of 64 KiB, a disk of 1 MiB of which the second cluster is there: header, L1, L2, data.</summary>
    private static byte[] MakeImage()
    {
        const int Cluster = 1 << 16;
        byte[] image = new byte[4 * Cluster];
        "QFI"u8.CopyTo(image);
        image[3] = 0xfb;
        Put(4, 3);
        Put(20, 16);
        Put(28, 1 << 20);
        Put(36, 1);
        Put(44, Cluster);
        Put(100, 104);
        Put(Cluster, 0x8000_0000);
        Put(Cluster + 4, 2 * Cluster);
        Put((2 * Cluster) + 8, 0x8000_0000);
        Put((2 * Cluster) + 12, 3 * Cluster);
        image.AsSpan(3 * Cluster).Fill(1);
        return image;

        void Put(int offset, uint value) => BinaryPrimitives.WriteUInt32BigEndian(image.AsSpan(offset), value);
    }

    private Qcow2Disk Open(byte[] image)
    {
        string path = Path.Combine(_folder, "made");
        File.WriteAllBytes(path, image);
        return Assert.IsType<Qcow2Disk>(BaseDisk.OpenReadOnly(path));
    }

    /// <summary>What packs well, what does not, and zeros; no whole number of clusters.</summary>
    private static byte[] MakeContent(int length = (9 << 20) + (5 * 512))
    {
        byte[] content = new byte[length];
        Random random = new(7);
        for (int position = 0; position < length; position += 96 << 10)
        {
            Span<byte> piece = content.AsSpan(position, Math.Min(96 << 10, length - position));
            switch (random.Next(3))
            {
                case 0:
                    random.NextBytes(piece);
                    break;
                case 1:
                    for (int i = 0; i + 20 <= piece.Length; i += 20)
                    {
                        Encoding.ASCII.GetBytes($"line {random.Next(1000),14}\n").CopyTo(piece[i..]);
                    }

                    break;
            }
        }

        return content;
    }

    private string Convert(byte[] content, string options)
    {
        string raw = Path.Combine(_folder, "raw");
        string image = Path.Combine(_folder, "qcow2");
        File.WriteAllBytes(raw, content);
        Run($"convert -f raw -O qcow2 {options} {raw} {image}");
        return image;
    }

    private static void Run(string arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("qemu-img", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"qemu-img {arguments}: {error}");
    }

    private static unsafe bool Read(Disk disk, Span<byte> target, long offset, bool isCached)
    {
        fixed (byte* start = target)
        {
            // Two pieces, as a guest's pages are not together either.
            int half = target.Length / 1024 * 512;
            IoBuffer[] buffers = [new IoBuffer(start, half), new IoBuffer(start + half, target.Length - half)];
            if (isCached)
            {
                return disk.TryReadCached(buffers, offset);
            }

            disk.Read(buffers, offset);
            return true;
        }
    }

    private static unsafe void Write(Disk disk, byte[] content, long offset)
    {
        fixed (byte* start = content)
        {
            disk.Write([new IoBuffer(start, content.Length)], offset);
        }
    }
}
