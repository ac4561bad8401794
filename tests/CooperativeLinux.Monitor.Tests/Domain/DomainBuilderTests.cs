using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Monitor.Tests.Images;
using CooperativeLinux.Processor.Memory;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Domain;

public sealed class DomainBuilderTests
{
    private const ulong MiB = 1 << 20;
    private const ulong LinuxBase = ElfBuilder.LinuxBase;
    private const ulong P2MBase = 0x8000000000;

    [Fact]
    public void Build_LinuxKernel_PlacesRegionsInOrder()
    {
        using GuestMemory memory = new(64 * MiB);

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(64 * MiB, new byte[10_000]));

        // The kernel ends in frame 0x1009; 10 tables of 2 MiB reach the 4 MiB boundary behind 512 KiB of slack.
        Assert.Equal(new FrameRange(0x1000, 0xa), layout.Kernel);
        Assert.Equal(0x100aul, layout.StartInfoFrame);
        Assert.Equal(0x100bul, layout.StoreRingFrame);
        Assert.Equal(0x100cul, layout.ConsoleRingFrame);
        Assert.Equal(0x100dul, layout.TopTableFrame);
        Assert.Equal(13ul, layout.PageTableCount);
        Assert.Equal(0x101aul, layout.BootStackFrame);
        Assert.Equal(0x1400ul, layout.MappedFrames);
        Assert.Equal(new FrameRange(0x1400, 3), layout.InitialRamDisk);
        Assert.Equal(10_000ul, layout.InitialRamDiskLength);
        Assert.Equal(new FrameRange(0x1403, 32), layout.P2M);
        Assert.Equal(0x1403ul, layout.FirstP2MFrame);
        Assert.Equal(35ul, layout.P2MFrameCount);
        Assert.Equal(0x1426ul, layout.UsedFrames);
        Assert.Equal(0x4000ul, layout.PageCount);
        Assert.Equal(LinuxBase + 0x1000100, layout.EntryPoint);
        Assert.Equal(LinuxBase + 0x101b000, layout.StackPointer);
        Assert.Equal(LinuxBase + 0x100a000, layout.StartInfoAddress);
        Assert.Equal(LinuxBase + 0x100d000, layout.PageTableBase);
        Assert.Equal(P2MBase, layout.P2MAddress);
        Assert.Equal(0x0f000000ul, layout.SharedInfoFrame);
        Assert.Null(layout.HypercallPageFrame);
        Assert.Equal(
            [4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 2, 1],
            layout.PageTables.Select(table => table.Level));
        Assert.Equal(
            [.. Enumerable.Range(0x100d, 13).Select(frame => (ulong)frame), 0x1423, 0x1424, 0x1425],
            layout.PageTables.Select(table => table.Frame));
    }

    [Fact]
    public void Build_LinuxKernel_MapsFromBaseWithTablesReadOnly()
    {
        using GuestMemory memory = new(64 * MiB);

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(64 * MiB, new byte[10_000]));

        PageWalker walker = new(memory, layout.TopTableFrame);
        HashSet<ulong> tables = [.. layout.PageTables.Select(table => table.Frame)];
        for (ulong frame = 0; frame < layout.MappedFrames; frame++)
        {
            ulong flags = tables.Contains(frame) ? 0x21ul : 0x23ul;
            Assert.Equal((frame << 12) | flags, walker.Leaf(LinuxBase + (frame << 12)));
        }

        for (ulong page = 0; page < layout.P2M.Count; page++)
        {
            Assert.Equal(((layout.P2M.First + page) << 12) | 0x23, walker.Leaf(P2MBase + (page << 12)));
        }

        Assert.Equal((int)(layout.MappedFrames + layout.P2M.Count), walker.CountPages());
        List<ulong> entries = walker.Walk(LinuxBase + 0x1000000);
        Assert.Equal((0x100eul << 12) | 0x67, entries[0]);
        Assert.Equal((0x100ful << 12) | 0x67, entries[1]);
        Assert.Equal((0x1018ul << 12) | 0x67, entries[2]);
    }

    [Fact]
    public void Build_LinuxKernel_WritesStartInfo()
    {
        using GuestMemory memory = new(64 * MiB);
        DomainParameters parameters = Parameters(64 * MiB, new byte[10_000]) with { CommandLine = "console=hvc0 ü" };

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), parameters);

        Span<byte> page = memory.Frame(layout.StartInfoFrame);
        Assert.Equal("xen-3.0-x86_64", Encoding.ASCII.GetString(page[..32]).TrimEnd('\0'));
        Assert.Equal(0x4000ul, U64(page, 32));
        Assert.Equal(0xf000000000ul, U64(page, 40));
        Assert.Equal(24u, U32(page, 48));
        Assert.Equal(0u, U32(page, 52));
        Assert.Equal(0x100bul, U64(page, 56));
        Assert.Equal(7u, U32(page, 64));
        Assert.Equal(0u, U32(page, 68));
        Assert.Equal(0x100cul, U64(page, 72));
        Assert.Equal(9u, U32(page, 80));
        Assert.Equal(0u, U32(page, 84));
        Assert.Equal(LinuxBase + 0x100d000, U64(page, 88));
        Assert.Equal(13ul, U64(page, 96));
        Assert.Equal(P2MBase, U64(page, 104));
        Assert.Equal(0x1400ul, U64(page, 112));
        Assert.Equal(10_000ul, U64(page, 120));
        Assert.Equal("console=hvc0 ü", Encoding.UTF8.GetString(page.Slice(128, 1024)).TrimEnd('\0'));
        Assert.Equal(0x1403ul, U64(page, 1152));
        Assert.Equal(35ul, U64(page, 1160));
        Assert.False(page[1168..].ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Build_LinuxKernel_LoadsSegmentsAndLeavesTheRestZero()
    {
        using GuestMemory memory = new(64 * MiB);

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(64 * MiB));

        byte[] loaded = new byte[0xa000];
        Assert.True(memory.TryRead(0x1000000, loaded));
        byte[] expected = new byte[0xa000];
        ElfBuilder.Code(0x5123, 1).CopyTo(expected, 0);
        ElfBuilder.Code(0x1800, 2).CopyTo(expected, 0x6000);
        Assert.Equal(expected, loaded);
        foreach (ulong frame in (ulong[])[0, 0xfff, layout.StoreRingFrame, layout.ConsoleRingFrame, layout.BootStackFrame, layout.UsedFrames])
        {
            Assert.False(memory.Frame(frame).ContainsAnyExcept((byte)0));
        }
    }

    [Fact]
    public void Build_SmallerThanMemory_WritesIdentityP2MPaddedWithOnes()
    {
        using GuestMemory memory = new(64 * MiB);
        ulong size = (33 * MiB) + 0x3000;

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(size));

        PageWalker walker = new(memory, layout.TopTableFrame);
        Assert.Equal(17ul, layout.P2M.Count);
        for (ulong i = 0; i < layout.P2M.Count * 512; i++)
        {
            Assert.Equal(i < size / 4096 ? i : ulong.MaxValue, walker.ReadVirtual(P2MBase + (i * 8)));
        }
    }

    [Fact]
    public void Build_TwoGibibytes_MapsListWithSeveralTables()
    {
        using GuestMemory memory = new((2048 * MiB) + 4096);

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(memory.Size));

        PageWalker walker = new(memory, layout.TopTableFrame);
        Assert.Equal(1025ul, layout.P2M.Count);
        Assert.Equal(1025ul + 5, layout.P2MFrameCount);
        Assert.Equal(3, layout.PageTables.Skip((int)layout.PageTableCount).Count(table => table.Level == 1));
        Assert.Equal((int)layout.MappedFrames + 1025, walker.CountPages());
        Assert.Equal(0x80000ul, walker.ReadVirtual(P2MBase + (0x80000 * 8)));
        Assert.Equal(ulong.MaxValue, walker.ReadVirtual(P2MBase + (0x80001 * 8)));
    }

    [Fact]
    public void Build_SeveralRamDiskParts_AlignsEachToFourBytes()
    {
        using GuestMemory memory = new(64 * MiB);
        byte[] first = ElfBuilder.Code(4097, 30);
        byte[] second = ElfBuilder.Code(3 << 20, 31);
        MemoryStream half = new(second);
        half.Position = 1000;
        DomainParameters parameters = Parameters(64 * MiB) with { InitialRamDisk = [new MemoryStream(first), half] };

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), parameters);

        byte[] loaded = new byte[layout.InitialRamDisk.Count * 4096];
        Assert.True(memory.TryRead(layout.InitialRamDisk.First * 4096, loaded));
        Assert.Equal(4100ul + (3 << 20) - 1000, layout.InitialRamDiskLength);
        Assert.True(loaded.AsSpan(0, 4097).SequenceEqual(first));
        Assert.False(loaded.AsSpan(4097, 3).ContainsAnyExcept((byte)0));
        Assert.True(loaded.AsSpan(4100, second.Length - 1000).SequenceEqual(second.AsSpan(1000)));
        Assert.False(loaded.AsSpan((int)layout.InitialRamDiskLength).ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Build_NoRamDisk_StatesNone()
    {
        using GuestMemory memory = new(64 * MiB);

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(64 * MiB));

        Span<byte> page = memory.Frame(layout.StartInfoFrame);
        Assert.Equal(0ul, U64(page, 112));
        Assert.Equal(0ul, U64(page, 120));
        Assert.Equal(0ul, layout.InitialRamDisk.Count);
    }

    [Fact]
    public void Build_SharedInfo_HasEventsMaskedInAllSlots()
    {
        using GuestMemory memory = new(64 * MiB);

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(64 * MiB));

        Span<byte> page = memory.Frame(layout.SharedInfoFrame);
        byte[] expected = new byte[4096];
        for (int slot = 0; slot < 32; slot++)
        {
            expected[(slot * 64) + 1] = 1;
        }

        Assert.True(page.SequenceEqual(expected));
    }

    [Fact]
    public void Build_SharedInfoInUse_IsLeftAlone()
    {
        using GuestMemory memory = new(64 * MiB);
        memory.AddSpecialFrame(SpecialFrames.SharedInfo);
        memory.Frame(SpecialFrames.SharedInfo)[3072] = 0x55;

        DomainLayout layout = DomainBuilder.Build(memory, LinuxKernel(), Parameters(64 * MiB));

        Assert.Equal(0x55, memory.Frame(layout.SharedInfoFrame)[3072]);
    }

    [Fact]
    public void Build_HypercallPageNote_FillsStubs()
    {
        using GuestMemory memory = new(64 * MiB);
        KernelImage kernel = KernelImage.Load(ElfBuilder.Linux().Note(2, LinuxBase + 0x1008000).Build());

        DomainLayout layout = DomainBuilder.Build(memory, kernel, Parameters(64 * MiB));

        Assert.Equal(0x1008ul, layout.HypercallPageFrame);
        Span<byte> page = memory.Frame(0x1008);
        Assert.Equal("514153B8110000000F05415B59C3CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC", Convert.ToHexString(page.Slice(17 * 32, 32)));
        Assert.Equal("51415350B8170000000F05CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC", Convert.ToHexString(page.Slice(23 * 32, 32)));
        Assert.Equal("514153B87F0000000F05415B59C3", Convert.ToHexString(page.Slice(127 * 32, 14)));
    }

    [Theory]
    [InlineData(0xffffffff80000000)]
    [InlineData(0ul)]
    [InlineData(0xc0000000ul)]
    [InlineData(0xffff88003fe00000)]
    public void Build_OldKernel_PutsListAndRamDiskIntoTheMapping(ulong virtualBase)
    {
        using GuestMemory memory = new(64 * MiB);
        KernelImage kernel = KernelImage.Load(new ElfBuilder()
            .Segment(virtualBase + 0x1000, ElfBuilder.Code(0x2800, 33), 0x4000)
            .Note(1, virtualBase + 0x1000)
            .Note(3, virtualBase)
            .Note(4, virtualBase)
            .Build());
        byte[] ramDisk = ElfBuilder.Code(5000, 34);

        DomainLayout layout = DomainBuilder.Build(memory, kernel, Parameters(64 * MiB, ramDisk));

        Assert.Equal(new FrameRange(1, 4), layout.Kernel);
        Assert.Equal(new FrameRange(5, 2), layout.InitialRamDisk);
        Assert.Equal(new FrameRange(7, 32), layout.P2M);
        Assert.Equal(39ul, layout.StartInfoFrame);
        Assert.Equal(virtualBase + 0x7000, layout.P2MAddress);
        Assert.Equal(0ul, layout.FirstP2MFrame);
        Assert.Equal(0ul, layout.P2MFrameCount);
        Assert.Equal((int)layout.PageTableCount, layout.PageTables.Count);
        Assert.Equal(0ul, (virtualBase + (layout.MappedFrames * 4096)) % (4 * MiB));
        Span<byte> page = memory.Frame(layout.StartInfoFrame);
        Assert.Equal(16u, U32(page, 48));
        Assert.Equal(virtualBase + 0x5000, U64(page, 112));
        Assert.Equal(virtualBase + 0x7000, U64(page, 104));
        PageWalker walker = new(memory, layout.TopTableFrame);
        Assert.Equal(0x3fful, walker.ReadVirtual(layout.P2MAddress + (0x3ff * 8)));
        Assert.Equal((int)layout.MappedFrames, walker.CountPages());
        Assert.Equal(BinaryPrimitives.ReadUInt64LittleEndian(ramDisk), walker.ReadVirtual(virtualBase + 0x5000));
    }

    [Theory]
    [InlineData(0x7ffffff80000ul)]
    [InlineData(0xffff800000000000)]
    [InlineData(0x0000900000000000ul)]
    [InlineData(0xfffffffffff80000)]
    public void Build_BaseWithoutRoom_IsRefused(ulong virtualBase)
    {
        using GuestMemory memory = new(64 * MiB);
        KernelImage kernel = KernelImage.Load(new ElfBuilder()
            .Segment(0x1000, [1], 1)
            .Note(1, virtualBase + 0x1000)
            .Note(3, virtualBase)
            .Build());

        DomainBuildException exception = Assert.Throws<DomainBuildException>(
            () => DomainBuilder.Build(memory, kernel, Parameters(64 * MiB)));

        Assert.Contains("virtual base", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Build_MemoryTooSmallForKernel_SaysHowMuchIsNeeded()
    {
        using GuestMemory memory = new(16 * MiB);

        DomainBuildException exception = Assert.Throws<DomainBuildException>(
            () => DomainBuilder.Build(memory, LinuxKernel(), Parameters(16 * MiB)));

        Assert.Equal("the kernel does not fit: the machine has 16 MiB of memory, at least 21 MiB are needed", exception.Message);
    }

    [Fact]
    public void Build_MemoryTooSmallForRamDisk_SaysHowMuchIsNeeded()
    {
        using GuestMemory memory = new(32 * MiB);

        DomainBuildException exception = Assert.Throws<DomainBuildException>(
            () => DomainBuilder.Build(memory, LinuxKernel(), Parameters(32 * MiB, new byte[20 * MiB])));

        Assert.Equal(
            "the initrd of 20 MiB does not fit: the machine has 32 MiB of memory, at least 41 MiB are needed",
            exception.Message);
    }

    [Theory]
    [InlineData(0ul, "no multiple of 4096")]
    [InlineData(12345ul, "no multiple of 4096")]
    [InlineData((64ul << 30) + 4096, "at most 65536 MiB")]
    [InlineData(ulong.MaxValue, "at most 65536 MiB")]
    public void Build_AbsurdMemory_IsRefused(ulong size, string message)
    {
        using GuestMemory memory = new(32 * MiB);

        DomainBuildException exception = Assert.Throws<DomainBuildException>(
            () => DomainBuilder.Build(memory, LinuxKernel(), Parameters(size)));

        Assert.Contains(message, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Build_MoreMemoryThanThereIs_IsRefused()
    {
        using GuestMemory memory = new(32 * MiB);

        Assert.Throws<ArgumentException>(() => DomainBuilder.Build(memory, LinuxKernel(), Parameters(64 * MiB)));
    }

    [Theory]
    [InlineData(1023, true)]
    [InlineData(1024, false)]
    public void Build_LongCommandLine_TakesUpTo1023Bytes(int length, bool isTaken)
    {
        using GuestMemory memory = new(32 * MiB);
        DomainParameters parameters = Parameters(32 * MiB) with { CommandLine = new string('x', length) };

        Exception? exception = Record.Exception(() => DomainBuilder.Build(memory, LinuxKernel(), parameters));

        Assert.Equal(isTaken, exception == null);
        Assert.Equal(isTaken ? null : "the kernel command line has 1024 bytes; at most 1023 are possible", exception?.Message);
    }

    [Fact]
    public void Build_CommandLineWithNul_IsRefused()
    {
        using GuestMemory memory = new(32 * MiB);
        DomainParameters parameters = Parameters(32 * MiB) with { CommandLine = "a\0b" };

        Assert.Throws<DomainBuildException>(() => DomainBuilder.Build(memory, LinuxKernel(), parameters));
    }

    [Fact]
    public void Build_RamDiskThatShrinks_SaysItCannotBeRead()
    {
        using GuestMemory memory = new(32 * MiB);
        DomainParameters parameters = Parameters(32 * MiB) with { InitialRamDisk = [new ShrinkingStream()] };

        DomainBuildException exception = Assert.Throws<DomainBuildException>(
            () => DomainBuilder.Build(memory, LinuxKernel(), parameters));

        Assert.StartsWith("cannot read the initrd", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LeastMemory_ManySizes_IsEnoughAndNotTooMuch()
    {
        KernelImage kernel = LinuxKernel();
        Random random = new(40);
        for (int round = 0; round < 200; round++)
        {
            ulong length = (ulong)random.NextInt64(0, 3L << 30);

            ulong least = DomainBuilder.LeastMemory(kernel, length);

            Assert.True(DomainPlan.Make(kernel, least / 4096, length).UsedFrames <= least / 4096);
            Assert.True(DomainPlan.Make(kernel, (least / 4096) - 1, length).UsedFrames > (least / 4096) - 1);
        }
    }

    [Fact]
    public void Make_ManySizes_GivesRegionsThatDoNotOverlap()
    {
        KernelImage kernel = LinuxKernel();
        Random random = new(41);
        for (int round = 0; round < 200; round++)
        {
            ulong pages = (ulong)random.NextInt64(0x4000, (long)(DomainBuilder.MaximumMemory / 4096) + 1);

            DomainPlan plan = DomainPlan.Make(kernel, pages, (ulong)random.NextInt64(0, 1 << 24));

            List<FrameRange> regions =
            [
                plan.Kernel,
                new(plan.StartInfo, 1),
                new(plan.StoreRing, 1),
                new(plan.ConsoleRing, 1),
                .. plan.Tables.Tables.Take(plan.InitialTableCount).Select(table => new FrameRange(table.Frame, 1)),
                new(plan.BootStack, 1),
                new(plan.MappedFrames - 128, 128),
                plan.RamDisk,
                plan.P2M,
                .. plan.Tables.Tables.Skip(plan.InitialTableCount).Select(table => new FrameRange(table.Frame, 1)),
            ];
            ulong end = 0;
            foreach (FrameRange region in regions)
            {
                Assert.True(region.First >= end);
                end = region.End;
            }

            Assert.Equal(plan.UsedFrames, end);
            Assert.Equal((pages + 511) / 512, plan.P2M.Count);
        }
    }

    [Theory]
    [InlineData("6.1-generic")]
    [InlineData("6.12-cloud")]
    public async Task Build_DebianKernel_LoadsItWhereItsMappingSays(string flavour)
    {
        KernelImage kernel = KernelImage.Load(await KernelFiles.GetAsync(flavour));
        using GuestMemory memory = new(512 * MiB);

        DomainLayout layout = DomainBuilder.Build(memory, kernel, Parameters(512 * MiB, new byte[30 * MiB]));

        foreach (KernelSegment segment in kernel.Segments)
        {
            byte[] loaded = new byte[segment.Bytes.Length];
            Assert.True(memory.TryRead(segment.PhysicalAddress, loaded));
            Assert.True(loaded.AsSpan().SequenceEqual(segment.Bytes.Span));
        }

        PageWalker walker = new(memory, layout.TopTableFrame);
        Assert.Equal(((layout.EntryPoint - LinuxBase) & ~0xffful) | 0x23, walker.Leaf(layout.EntryPoint));
        Assert.Equal((layout.BootStackFrame << 12) | 0x23, walker.Leaf(layout.StackPointer - 8));
        Assert.Equal((layout.StartInfoFrame << 12) | 0x23, walker.Leaf(layout.StartInfoAddress));
        Assert.Equal((layout.TopTableFrame << 12) | 0x21, walker.Leaf(layout.PageTableBase));
        Assert.Equal(3 + (layout.MappedFrames / 512), layout.PageTableCount);
    }

    private static KernelImage LinuxKernel() => KernelImage.Load(ElfBuilder.Linux().Build());

    private static DomainParameters Parameters(ulong size, byte[]? ramDisk = null) => new()
    {
        MemorySize = size,
        StorePort = 7,
        ConsolePort = 9,
        InitialRamDisk = ramDisk == null ? [] : [new MemoryStream(ramDisk)],
    };

    private static ulong U64(Span<byte> page, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(page[offset..]);

    private static uint U32(Span<byte> page, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(page[offset..]);

    private sealed class ShrinkingStream : MemoryStream
    {
        public override long Length => 100;

        public override int Read(Span<byte> buffer) => 0;
    }
}
