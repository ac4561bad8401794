using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Monitor.Tests.Images.Compression;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images;

public sealed class KernelImageTests
{
    private const string NoPvEntry = "has no Xen PV entry (CONFIG_XEN_PV); use a Debian amd64 or cloud kernel";

    public static TheoryData<string, string> Packers => new()
    {
        { "xz", "--check=crc32 --x86 --lzma2=dict=32MiB" },
        { "zstd", "--ultra -22 --long=27 --no-content-size" },
        { "lz4", "-l -9" },
        { "gzip", "-9 -n" },
    };

    [Fact]
    public void Load_PlainElf_GivesSegmentsAndNotes()
    {
        KernelImage image = KernelImage.Load(ElfBuilder.Linux().Build());

        Assert.Equal(2, image.Segments.Count);
        Assert.Equal(0x1000000ul, image.Segments[0].PhysicalAddress);
        Assert.Equal(0x5123ul, image.Segments[0].MemorySize);
        Assert.Equal(ElfBuilder.Code(0x5123, 1), image.Segments[0].Bytes.ToArray());
        Assert.Equal(0x1006000ul, image.Segments[1].PhysicalAddress);
        Assert.Equal(0x4000ul, image.Segments[1].MemorySize);
        Assert.Equal(ElfBuilder.Code(0x1800, 2), image.Segments[1].Bytes.ToArray());
        Assert.Equal(0x1000000ul, image.PhysicalStart);
        Assert.Equal(0x100a000ul, image.PhysicalEnd);
        Assert.Equal(
            new XenNotes
            {
                Entry = 0xffffffff81000100,
                VirtualBase = 0xffffffff80000000,
                PhysicalOffset = 0,
                InitialP2M = 0x8000000000,
                ModuleStartIsFrame = true,
                CanCancelSuspend = true,
                GuestOS = "linux",
                GuestVersion = "2.6",
                XenVersion = "xen-3.0",
                Loader = "generic",
                SupportedFeatures = (XenFeatures)0x8811,
                RequiredFeatures = XenFeatures.WritablePageTables,
            },
            image.Notes);
    }

    [Theory]
    [MemberData(nameof(Packers))]
    public void Load_BzImage_UnpacksIt(string tool, string options)
    {
        byte[] elf = ElfBuilder.Linux().Build();
        byte[] packed = CompressionTools.Compress(tool, $"{options} -q -c", elf);
        byte[] file = BzImageBuilder.Wrap(packed, tool == "gzip" ? null : elf.Length);

        KernelImage image = KernelImage.Load(file);

        Assert.Equal(ElfBuilder.Code(0x5123, 1), image.Segments[0].Bytes.ToArray());
    }

    [Fact]
    public void Load_BzImageWithPlainPayloadAndZeroSetupSectors_TakesItAsItIs()
    {
        byte[] elf = ElfBuilder.Linux().Build();

        KernelImage image = KernelImage.Load(BzImageBuilder.Wrap(elf, elf.Length, setupSectors: 0));

        Assert.Equal(2, image.Segments.Count);
    }

    [Fact]
    public void Load_GzippedElf_UnpacksIt()
    {
        byte[] packed = CompressionTools.Compress("gzip", "-c", ElfBuilder.Linux().Build());

        KernelImage image = KernelImage.Load(packed);

        Assert.Equal(2, image.Segments.Count);
    }

    [Fact]
    public void Load_NotesOnlyInSection_FindsThem()
    {
        ElfBuilder builder = ElfBuilder.Linux();
        builder.HasNoteSegment = false;
        builder.HasNoteSection = true;

        KernelImage image = KernelImage.Load(builder.Build());

        Assert.Equal(0xffffffff81000100, image.Notes.Entry);
    }

    [Fact]
    public void Load_GuestString_IsRead()
    {
        ElfBuilder builder = new ElfBuilder { HasNoteSegment = false, Entry = 0xc0001000 }
            .Segment(0xc0000000, ElfBuilder.Code(0x4000, 3), 0x4000);
        builder.GuestString = "GUEST_OS=mini,XEN_VER=xen-3.0,VIRT_BASE=0xc0000000,HYPERCALL_PAGE=0x2,"
            + "FEATURES=writable_page_tables|auto_translated_physmap,LOADER=generic,PAE=yes";

        KernelImage image = KernelImage.Load(builder.Build());

        Assert.Equal(0xc0001000ul, image.Notes.Entry);
        Assert.Equal(0xc0000000ul, image.Notes.VirtualBase);
        Assert.Equal(0xc0000000ul, image.Notes.PhysicalOffset);
        Assert.Equal(0xc0002000ul, image.Notes.HypercallPage);
        Assert.Equal("mini", image.Notes.GuestOS);
        Assert.Equal(0ul, image.PhysicalStart);
        Assert.Null(image.Notes.InitialP2M);
        Assert.False(image.Notes.ModuleStartIsFrame);
    }

    [Fact]
    public void Load_PhysicalOffset_IsTakenFromAddresses()
    {
        KernelImage image = KernelImage.Load(new ElfBuilder()
            .Segment(0xffffffff80200000, ElfBuilder.Code(0x2000, 4), 0x3000)
            .Note(1, 0xffffffff80200000)
            .Note(3, 0xffffffff80000000)
            .Note(4, 0xffffffff80000000)
            .Note(2, 0xffffffff80201000)
            .Build());

        Assert.Equal(0x200000ul, image.PhysicalStart);
        Assert.Equal(0x203000ul, image.PhysicalEnd);
    }

    [Fact]
    public void Load_LowBase_IsAccepted()
    {
        KernelImage image = KernelImage.Load(new ElfBuilder()
            .Segment(0, ElfBuilder.Code(0x2000, 5), 0x9000)
            .Note(1, 0ul)
            .Note(2, 0x1000ul)
            .Build());

        Assert.Equal(0ul, image.Notes.VirtualBase);
        Assert.Equal(0x1000ul, image.Notes.HypercallPage);
    }

    public static TheoryData<string, string> BadKernels => new()
    {
        { "random", "not a kernel" },
        { "empty", "not a kernel" },
        { "no entry note", NoPvEntry },
        { "no notes", NoPvEntry },
        { "32-bit", NoPvEntry },
        { "other machine", "not an x86-64 kernel" },
        { "ELF cut in header", "truncated" },
        { "ELF cut in segment", "truncated" },
        { "entry outside", "outside what it loads" },
        { "hypercall page outside", "outside what it loads" },
        { "hypercall page unaligned", "outside what it loads" },
        { "segment wraps", "bad addresses" },
        { "segment smaller than file", "bad addresses" },
        { "segment below offset", "bad addresses" },
        { "segment far up", "bad addresses" },
        { "overlap", "overlap" },
        { "nothing to load", "nothing to load" },
        { "base unaligned", "not page aligned" },
        { "entry note of 3 bytes", "bad Xen note" },
        { "required feature", "auto_translated_physmap" },
        { "unknown required feature", "requires a Xen feature" },
        { "other Xen", "Xen 3.0" },
        { "bzImage cut in header", "truncated" },
        { "bzImage cut in payload", "truncated" },
        { "bzImage of another compression", "compressed with bzip2" },
        { "bzImage with a huge size", "absurd" },
        { "bzImage that unpacks to less", "instead of" },
        { "bzImage of no ELF", "not an ELF file" },
        { "bzImage without payload", "no payload" },
    };

    [Theory]
    [MemberData(nameof(BadKernels))]
    public void Load_BadKernel_SaysWhatInOneLine(string kind, string message)
    {
        byte[] file = MakeBad(kind);

        InvalidImageException exception = Assert.Throws<InvalidImageException>(() => KernelImage.Load(file));

        Assert.Contains(message, exception.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', exception.Message);
    }

    [Fact]
    public void Load_MissingFile_NamesIt()
    {
        string path = Path.Combine(Path.GetTempPath(), "no-such-kernel");

        InvalidImageException exception = Assert.Throws<InvalidImageException>(() => KernelImage.Load(path));

        Assert.Equal($"{path}: cannot read the kernel: no such file", exception.Message);
    }

    [Fact]
    public void Load_Folder_SaysSo()
    {
        InvalidImageException exception =
            Assert.Throws<InvalidImageException>(() => KernelImage.Load(Path.GetTempPath()));

        Assert.Contains("it is a folder", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_FileThatIsNoKernel_NamesIt()
    {
        string path = Path.GetTempFileName();
        File.WriteAllText(path, "hello");
        try
        {
            InvalidImageException exception = Assert.Throws<InvalidImageException>(() => KernelImage.Load(path));

            Assert.StartsWith($"{path}: not a kernel", exception.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Load_DamagedElf_LoadsOrSaysWhy()
    {
        byte[] elf = ElfBuilder.Linux().Build();
        byte[] image = BzImageBuilder.Wrap(elf, elf.Length);
        Random random = new(1);
        int refused = 0;
        for (int round = 0; round < 5000; round++)
        {
            bool isPlain = round % 2 == 0;
            byte[] damaged = [.. isPlain ? elf : image];
            int position = isPlain
                ? random.Next(2) == 0 ? random.Next(300) : damaged.Length - 1 - random.Next(800)
                : random.Next(0x1f0, 0x250);
            damaged[position] = (byte)random.Next(256);
            try
            {
                KernelImage.Load(damaged);
            }
            catch (InvalidImageException exception)
            {
                Assert.DoesNotContain('\n', exception.Message);
                refused++;
            }
        }

        Assert.InRange(refused, 100, 4900);
    }

    private static byte[] MakeBad(string kind)
    {
        byte[] elf = ElfBuilder.Linux().Build();
        switch (kind)
        {
            case "random":
                return Samples.Random(100_000, 20);
            case "empty":
                return [];
            case "no entry note":
                return ElfBuilder.Linux().WithoutNote(1).Build();
            case "no notes":
                ElfBuilder withoutNotes = ElfBuilder.Linux();
                withoutNotes.HasNoteSegment = false;
                return withoutNotes.Build();
            case "32-bit":
                ElfBuilder narrow = ElfBuilder.Linux();
                narrow.Class = 1;
                narrow.Machine = 3;
                return narrow.Build();
            case "other machine":
                ElfBuilder arm = ElfBuilder.Linux();
                arm.Machine = 183;
                return arm.Build();
            case "ELF cut in header":
                return elf[..100];
            case "ELF cut in segment":
                // The file offset of the first segment, moved so that its last byte is missing.
                BitConverter.TryWriteBytes(elf.AsSpan(64 + 8), (ulong)elf.Length - 0x5122);
                return elf;
            case "entry outside":
                return ElfBuilder.Linux().Note(1, ElfBuilder.LinuxBase + 0x100a000).Build();
            case "hypercall page outside":
                return ElfBuilder.Linux().Note(2, ElfBuilder.LinuxBase + 0xfff000).Build();
            case "hypercall page unaligned":
                return ElfBuilder.Linux().Note(2, ElfBuilder.LinuxBase + 0x1001010).Build();
            case "segment wraps":
                return ElfBuilder.Linux().Segment(0x2000000, [1], ulong.MaxValue - 0x1000).Build();
            case "segment smaller than file":
                return ElfBuilder.Linux().Segment(0x2000000, [1, 2, 3], 2).Build();
            case "segment below offset":
                return ElfBuilder.Linux().Note(4, 0x1000001ul).Build();
            case "segment far up":
                return ElfBuilder.Linux().Segment(1ul << 50, [1], 1).Build();
            case "overlap":
                return ElfBuilder.Linux().Segment(0x1005122, [1], 1).Build();
            case "nothing to load":
                return new ElfBuilder().Note(1, 0ul).Build();
            case "base unaligned":
                return ElfBuilder.Linux().Note(3, ElfBuilder.LinuxBase + 8).Build();
            case "entry note of 3 bytes":
                return ElfBuilder.Linux().Note(1, [1, 2, 3]).Build();
            case "required feature":
                return ElfBuilder.Linux().Note(10, "!auto_translated_physmap").Build();
            case "unknown required feature":
                return ElfBuilder.Linux().Note(10, "writable_page_tables|!flux_capacitor\n").Build();
            case "other Xen":
                return ElfBuilder.Linux().Note(5, "xen-2.0").Build();
            case "bzImage cut in header":
                return BzImageBuilder.Wrap(elf, elf.Length)[..0x220];
            case "bzImage cut in payload":
                return BzImageBuilder.Wrap(elf, elf.Length)[..0x6000];
            case "bzImage of another compression":
                return BzImageBuilder.Wrap([.. "BZh9"u8, .. new byte[100]], 100);
            case "bzImage with a huge size":
                return BzImageBuilder.Wrap([0x28, 0xb5, 0x2f, 0xfd, .. new byte[100]], -1);
            case "bzImage that unpacks to less":
                return BzImageBuilder.Wrap([2, 0x21, 0x4c, 0x18, 4, 0, 0, 0, 0x30, 1, 2, 3], 100);
            case "bzImage of no ELF":
                return BzImageBuilder.Wrap([2, 0x21, 0x4c, 0x18, 4, 0, 0, 0, 0x30, 1, 2, 3], 3);
            case "bzImage without payload":
                return BzImageBuilder.Wrap([], 0);
            default:
                throw new ArgumentOutOfRangeException(nameof(kind));
        }
    }
}
