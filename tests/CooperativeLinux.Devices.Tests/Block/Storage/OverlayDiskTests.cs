using System.Runtime.InteropServices;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Host.Disks;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Block.Storage;

public sealed class OverlayDiskTests
{
    private const int Sector = 512;
    private const int Sectors = 333; // not whole clusters
    private const ulong Zero = 0;

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Disk_AfterLossOfPower_HasWhatWasFlushedOrWrittenSince(int seed)
    {
        Random random = new(seed);
        (UnreliableFile baseFile, ulong[] stamps) = MakeBase();
        UnreliableFile file = new();
        OverlayImage.Create(file, RawDisk.Open(baseFile), Sectors * Sector);
        HashSet<ulong>[] possible = [.. stamps.Select(stamp => new HashSet<ulong> { stamp })];
        for (int round = 0; round < 6; round++)
        {
            OverlayDisk disk = Open(file, baseFile);
            file.OperationsLeft = random.Next(1, 60);
            RunUntilPowerIsOff(random, disk, possible, stamps);
            file = file.Crash(random);
            using OverlayDisk after = Open(file, baseFile);
            for (int sector = 0; sector < Sectors; sector++)
            {
                stamps[sector] = ReadStamp(after, sector);
                Assert.True(possible[sector].Contains(stamps[sector]), $"seed {seed}, round {round}: sector {sector} is {stamps[sector]:x}");
                possible[sector] = [stamps[sector]];
            }
        }

        Assert.Equal(MakeBase().Stamps, Enumerable.Range(0, Sectors).Select(sector => ReadStamp(RawDisk.Open(baseFile), sector)));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Commit_InterruptedAnywhere_CanBeFinished(int seed)
    {
        Random random = new(seed);
        (UnreliableFile baseFile, ulong[] stamps) = MakeBase();
        UnreliableFile file = new();
        OverlayImage.Create(file, RawDisk.Open(baseFile), Sectors * Sector);
        using (OverlayDisk disk = Open(file, baseFile))
        {
            for (int i = 0; i < 30; i++)
            {
                WriteRandomly(random, disk, stamps, _ => { });
            }

            disk.Discard(64 * Sector, 64 * Sector);
            stamps.AsSpan(64, 64).Clear();
        }

        for (int attempt = 0; attempt < 20; attempt++)
        {
            file.OperationsLeft = baseFile.OperationsLeft = random.Next(1, 25);
            try
            {
                OverlayImage.Commit(file, baseFile);
            }
            catch (IOException)
            {
                file = file.Crash(random);
                baseFile = baseFile.Crash(random);
            }
        }

        file.OperationsLeft = baseFile.OperationsLeft = int.MaxValue;
        OverlayImage.Commit(file, baseFile);

        RawDisk raw = RawDisk.Open(baseFile);
        Assert.Equal(stamps, Enumerable.Range(0, Sectors).Select(sector => ReadStamp(raw, sector)));
        Assert.Equal(stamps, Enumerable.Range(0, Sectors).Select(sector => ReadStamp(Open(file, baseFile), sector)));
    }

    [Fact]
    public void Writes_ToOneClusterAtOnce_AllArrive()
    {
        (UnreliableFile baseFile, _) = MakeBase();
        UnreliableFile file = new();
        OverlayImage.Create(file, RawDisk.Open(baseFile), Sectors * Sector);
        using OverlayDisk disk = Open(file, baseFile);

        Parallel.For(0, Sectors, sector => Write(disk, sector, [(ulong)sector + 1000]));

        Assert.Equal(Enumerable.Range(1000, Sectors).Select(stamp => (ulong)stamp), Enumerable.Range(0, Sectors).Select(sector => ReadStamp(disk, sector)));
    }

    [Fact]
    public void Regions_OfALargeDisk_AreWrittenAcrossTheirBorder()
    {
        const long Region = 128L << 20;
        UnreliableFile baseFile = new();
        baseFile.SetLength(1 << 20);
        UnreliableFile file = new();
        OverlayImage.Create(file, RawDisk.Open(baseFile), 3 * Region);
        byte[] content = new byte[1 << 20];
        new Random(5).NextBytes(content);
        byte[] read = new byte[content.Length];
        using (OverlayDisk disk = Open(file, baseFile))
        {
            Transfer(disk, content, Region - (300 << 10), isWrite: true);
            Transfer(disk, content, (3 * Region) - content.Length, isWrite: true);
        }

        using OverlayDisk again = Open(file, baseFile);
        Transfer(again, read, Region - (300 << 10), isWrite: false);
        Assert.Equal(content, read);
        Transfer(again, read, (3 * Region) - content.Length, isWrite: false);
        Assert.Equal(content, read);
        Transfer(again, read, Region + (724 << 10), isWrite: false);
        Assert.False(read.AsSpan().ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Resize_ShrunkAndGrown_ForgetsWhatWasBehindTheEnd()
    {
        (UnreliableFile baseFile, ulong[] stamps) = MakeBase();
        UnreliableFile file = new();
        OverlayImage.Create(file, RawDisk.Open(baseFile), Sectors * Sector);
        using (OverlayDisk disk = Open(file, baseFile))
        {
            Write(disk, 0, Enumerable.Repeat(77UL, Sectors).ToArray());
        }

        Assert.Throws<IOException>(() => OverlayImage.Resize(file, 100 * Sector, mayShrink: false));
        OverlayImage.Resize(file, 100 * Sector, mayShrink: true);
        OverlayImage.Resize(file, 400 * Sector, mayShrink: false);

        using OverlayDisk again = Open(file, baseFile);
        ulong[] got = [.. Enumerable.Range(0, 400).Select(sector => ReadStamp(again, sector))];
        Assert.All(got[..100], stamp => Assert.Equal(77UL, stamp));
        Assert.All(got[100..104], stamp => Assert.Equal(Zero, stamp)); // the rest of the last cluster
        Assert.Equal(stamps[104..], got[104..Sectors]);
        Assert.All(got[Sectors..], stamp => Assert.Equal(Zero, stamp));
    }

    [Fact]
    public void Header_OneCopyDamaged_TheOtherServes()
    {
        (UnreliableFile baseFile, _) = MakeBase();
        for (int copy = 0; copy < 2; copy++)
        {
            UnreliableFile file = new();
            OverlayImage.Create(file, RawDisk.Open(baseFile), Sectors * Sector);
            file.Write(new byte[Sector], (copy * 4096) + 3584);
            Open(file, baseFile).Dispose();
            file.Write(new byte[Sector], ((1 - copy) * 4096) + 3584);
            Assert.Contains("damaged", Assert.Throws<IOException>(() => Open(file, baseFile)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Base_Changed_IsRefused()
    {
        (UnreliableFile baseFile, _) = MakeBase();
        UnreliableFile file = new();
        OverlayImage.Create(file, RawDisk.Open(baseFile), Sectors * Sector);
        baseFile.Write(new byte[Sector], 5 * Sector);

        Assert.Contains("another content", Assert.Throws<IOException>(() => Open(file, baseFile)).Message, StringComparison.Ordinal);
    }

    public static TheoryData<int> Seeds() => [.. Enumerable.Range(1, 40), Environment.TickCount];

    private static OverlayDisk Open(UnreliableFile file, UnreliableFile baseFile) => OverlayDisk.Open(file, () => RawDisk.Open(baseFile));

    private static (UnreliableFile File, ulong[] Stamps) MakeBase()
    {
        UnreliableFile file = new("base");
        ulong[] stamps = [.. Enumerable.Range(0, Sectors).Select(sector => 0xba5e_0000UL + (ulong)sector)];
        file.Write(MemoryMarshal.AsBytes(Fill(stamps).AsSpan()), 0);
        file.Flush();
        return (file, stamps);
    }

    private static void RunUntilPowerIsOff(Random random, OverlayDisk disk, HashSet<ulong>[] possible, ulong[] current)
    {
        try
        {
            while (true)
            {
                switch (random.Next(10))
                {
                    case 0:
                        disk.Flush();
                        for (int sector = 0; sector < Sectors; sector++)
                        {
                            possible[sector] = [current[sector]];
                        }

                        break;
                    case 1:
                        int first = random.Next(Sectors);
                        int count = random.Next(1, Sectors - first + 1);
                        for (int sector = first; sector < first + count; sector++)
                        {
                            possible[sector].Add(Zero);
                        }

                        disk.Discard((long)first * Sector, (long)count * Sector);
                        for (int sector = first; sector < first + count; sector++)
                        {
                            current[sector] = ReadStamp(disk, sector);
                            possible[sector].Add(current[sector]);
                        }

                        break;
                    default:
                        WriteRandomly(random, disk, current, change => possible[change.Sector].Add(change.Stamp));
                        break;
                }
            }
        }
        catch (IOException)
        {
            // What was under way has happened or not.
        }
    }

    private static void WriteRandomly(Random random, OverlayDisk disk, ulong[] current, Action<(int Sector, ulong Stamp)> onChange)
    {
        int first = random.Next(Sectors);
        int count = random.Next(1, Math.Min(40, Sectors - first) + 1);
        ulong[] stamps = [.. Enumerable.Range(0, count).Select(_ => (ulong)random.NextInt64())];
        for (int i = 0; i < count; i++)
        {
            onChange((first + i, stamps[i]));
        }

        Write(disk, first, stamps);
        stamps.CopyTo(current, first);
    }

    private static ulong[] Fill(ulong[] stamps) => [.. stamps.SelectMany(stamp => Enumerable.Repeat(stamp, Sector / sizeof(ulong)))];

    private static void Write(Disk disk, int sector, ulong[] stamps) => Transfer(disk, MemoryMarshal.AsBytes(Fill(stamps).AsSpan()), (long)sector * Sector, isWrite: true);

    private static ulong ReadStamp(Disk disk, int sector)
    {
        byte[] content = new byte[Sector];
        Transfer(disk, content, (long)sector * Sector, isWrite: false);
        ulong stamp = BitConverter.ToUInt64(content);
        return MemoryMarshal.Cast<byte, ulong>(content).ContainsAnyExcept(stamp) ? throw new InvalidDataException("a torn sector") : stamp;
    }

    /// <summary>In uneven pieces, as a guest's pages come.</summary>
    private static unsafe void Transfer(Disk disk, Span<byte> content, long offset, bool isWrite)
    {
        fixed (byte* start = content)
        {
            List<IoBuffer> pieces = [];
            for (int done = 0; done < content.Length;)
            {
                int length = Math.Min(content.Length - done, (1 + (pieces.Count % 8)) * Sector);
                if (pieces.Count == 200)
                {
                    length = content.Length - done;
                }

                pieces.Add(new IoBuffer(start + done, length));
                done += length;
            }

            if (isWrite)
            {
                disk.Write(CollectionsMarshal.AsSpan(pieces), offset);
            }
            else
            {
                disk.Read(CollectionsMarshal.AsSpan(pieces), offset);
            }
        }
    }
}
