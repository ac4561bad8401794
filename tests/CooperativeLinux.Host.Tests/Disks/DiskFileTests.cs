using CooperativeLinux.Host.Disks;
using Xunit;

namespace CooperativeLinux.Host.Tests.Disks;

public sealed class DiskFileTests : IDisposable
{
    private const int Mebibyte = 1 << 20;

    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;

    public static bool IsLinux => OperatingSystem.IsLinux();

    private string FilePath => Path.Combine(_folder, "disk, 1.img");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public unsafe void Transfers_OfSeveralPieces_KeepTheirOrder()
    {
        byte[] content = new byte[100_000];
        new Random(3).NextBytes(content);
        byte[] read = new byte[content.Length];
        using DiskFile file = DiskFile.Create(FilePath);
        fixed (byte* source = content, target = read)
        {
            file.Write([new IoBuffer(source, 512), new IoBuffer(source + 512, 40_000), new IoBuffer(source + 40_512, 59_488)], 12_345);
            file.Read([new IoBuffer(target, 99_000), new IoBuffer(target + 99_000, 1_000)], 12_345);
        }

        file.Flush();
        Assert.Equal(content, read);
        Assert.Equal(112_345, file.Length);
    }

    [Fact]
    public unsafe void Read_BehindTheEnd_IsZero()
    {
        using DiskFile file = DiskFile.Create(FilePath);
        file.Write("abc"u8, 0);
        byte[] read = [.. Enumerable.Repeat((byte)9, 20)];

        fixed (byte* target = read)
        {
            file.Read([new IoBuffer(target, 2), new IoBuffer(target + 2, 5), new IoBuffer(target + 7, 13)], 1);
        }

        Assert.Equal([(byte)'b', (byte)'c', .. new byte[18]], read);
    }

    [Fact]
    public void TryReadCached_WhatWasJustWritten_IsRightIfItIsThere()
    {
        using DiskFile file = DiskFile.Create(FilePath);
        byte[] content = new byte[8192];
        new Random(4).NextBytes(content);
        file.Write(content, 0);
        byte[] read = new byte[8192];

        bool isRead = TryReadCached(file, read, 0);

        Assert.True(!isRead || read.AsSpan().SequenceEqual(content));
        Assert.False(TryReadCached(file, read, 4096)); // half of it is behind the end
    }

    [Fact(Skip = "Wine knows no holes", SkipUnless = nameof(IsLinux))]
    public void PunchHole_GivesStorageBackAndReadsZero()
    {
        using DiskFile file = DiskFile.Create(FilePath);
        byte[] content = [.. Enumerable.Repeat((byte)7, 8 * Mebibyte)];
        file.Write(content, 0);
        file.Flush();
        long before = file.AllocatedLength;

        try
        {
            file.PunchHole(Mebibyte, 6 * Mebibyte);
        }
        catch (NotSupportedException)
        {
            Assert.Skip("this file system has no holes");
        }

        file.Flush();
        byte[] read = new byte[content.Length];
        file.Read(read, 0);
        content.AsSpan(Mebibyte, 6 * Mebibyte).Clear();
        Assert.Equal(content, read);
        Assert.Equal(content.Length, file.Length);
        Assert.InRange(before - file.AllocatedLength, 5 * Mebibyte, 6 * Mebibyte);
    }

    [Fact]
    public void SetLength_GrowsWithZerosAndTakesNoStorage()
    {
        using DiskFile file = DiskFile.Create(FilePath);
        file.Write("abcdef"u8, 0);
        file.SetLength(3);
        file.SetLength(1L << 32);

        byte[] read = new byte[6];
        file.Read(read, 0);
        Assert.Equal("abc\0\0\0"u8.ToArray(), read);
        Assert.Equal(1L << 32, file.Length);
        if (OperatingSystem.IsLinux())
        {
            Assert.InRange(file.AllocatedLength, 0, Mebibyte);
        }
    }

    [Fact]
    public void Open_ReadersAndWriters_KeepEachOtherOut()
    {
        DiskFile.Create(FilePath).Dispose();
        using (DiskFile writer = DiskFile.Open(FilePath, isWritable: true))
        {
            Assert.Contains("in use", Assert.Throws<IOException>(() => DiskFile.Open(FilePath, isWritable: true)).Message, StringComparison.Ordinal);
            Assert.Contains("in use", Assert.Throws<IOException>(() => DiskFile.Open(FilePath, isWritable: false)).Message, StringComparison.Ordinal);
        }

        using DiskFile reader = DiskFile.Open(FilePath, isWritable: false);
        using DiskFile another = DiskFile.Open(FilePath, isWritable: false);
        Assert.Contains("in use", Assert.Throws<IOException>(() => DiskFile.Open(FilePath, isWritable: true)).Message, StringComparison.Ordinal);
        Assert.Throws<IOException>(() => reader.Write("x"u8, 0));
    }

    [Fact]
    public void Open_WhatCannotBe_SaysWhy()
    {
        DiskFile.Create(FilePath).Dispose();

        Assert.Contains(FilePath, Assert.Throws<IOException>(() => DiskFile.Create(FilePath)).Message, StringComparison.Ordinal);
        Assert.Contains("missing", Assert.Throws<IOException>(() => DiskFile.Open(Path.Combine(_folder, "missing"), isWritable: false)).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<IOException>(() => DiskFile.Open(_folder, isWritable: false)).Message, StringComparison.Ordinal);
        Assert.Contains(_folder, Assert.Throws<IOException>(() => DiskFile.Open(_folder, isWritable: true)).Message, StringComparison.Ordinal);
    }

    [Fact(Skip = "The limits of file systems differ", SkipUnless = nameof(IsLinux))]
    public void Write_HostRefuses_IsAnErrorAndTheFileGoesOn()
    {
        using DiskFile file = DiskFile.Create(FilePath);

        Assert.Throws<IOException>(() => file.Write("x"u8, long.MaxValue - 1));
        file.Write("fine"u8, 0);

        Assert.Equal(4, file.Length);
    }

    [Fact]
    public unsafe void Slice_OfPieces_IsThePartAskedFor()
    {
        byte[] memory = [.. Enumerable.Range(0, 30).Select(i => (byte)i)];
        fixed (byte* start = memory)
        {
            IoBuffer[] whole = [new(start, 10), new(start + 10, 0), new(start + 10, 5), new(start + 15, 15)];
            for (int skip = 0; skip <= 30; skip++)
            {
                for (int length = 0; skip + length <= 30; length++)
                {
                    List<byte> bytes = [];
                    foreach (IoBuffer piece in IoBuffer.Slice(whole, skip, length, new IoBuffer[4]))
                    {
                        bytes.AddRange(piece.Span.ToArray());
                    }

                    Assert.Equal(memory[skip..(skip + length)], bytes);
                }
            }
        }
    }

    private static unsafe bool TryReadCached(DiskFile file, byte[] target, long offset)
    {
        fixed (byte* start = target)
        {
            return file.TryReadCached([new IoBuffer(start, target.Length)], offset);
        }
    }
}
