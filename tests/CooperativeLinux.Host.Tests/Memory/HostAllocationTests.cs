using CooperativeLinux.Host.Memory;
using Xunit;

namespace CooperativeLinux.Host.Tests.Memory;

public sealed unsafe class HostAllocationTests
{
    private const ulong Page = HostAllocation.PageSize;

    public static bool IsLinux => OperatingSystem.IsLinux();

    [Fact]
    public void AllocateSparse_Fresh_IsZeroAndWritable()
    {
        using HostAllocation memory = HostAllocation.AllocateSparse(64 * Page);

        memory.Pointer[memory.Size - 1] = 7;

        Assert.Equal(64 * Page, memory.Size);
        Assert.Equal(0UL, (ulong)memory.Pointer % Page);
        Assert.True(new ReadOnlySpan<byte>(memory.Pointer, (int)memory.Size - 1).IndexOfAnyExcept((byte)0) < 0);
        Assert.Equal(7, memory.Pointer[memory.Size - 1]);
    }

    [Fact]
    public void AllocateSparse_Zero_Throws() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => HostAllocation.AllocateSparse(0));

    [Fact]
    public void AllocateSparse_MoreThanAddressSpace_Throws() =>
        Assert.Throws<OutOfMemoryException>(() => HostAllocation.AllocateSparse(1UL << 60));

    [Fact]
    public void AllocateSparse_AllOfAddressSpace_NamesCallAndError()
    {
        OutOfMemoryException error = Assert.Throws<OutOfMemoryException>(() => HostAllocation.AllocateSparse(1UL << 47));

        Assert.Matches(@"^(mmap|VirtualAlloc) of \d+ bytes failed: error \d+, .+\.$", error.Message);
    }

    [Fact]
    public void Discard_TouchedPages_ReadZeroAndNeighboursStay()
    {
        using HostAllocation memory = HostAllocation.AllocateSparse(8 * Page);
        new Span<byte>(memory.Pointer, (int)memory.Size).Fill(0xA5);

        memory.Discard(2 * Page, 3 * Page);

        Span<byte> all = new(memory.Pointer, (int)memory.Size);
        Assert.True(all[..(2 * (int)Page)].IndexOfAnyExcept((byte)0xA5) < 0);
        Assert.True(all[(2 * (int)Page)..(5 * (int)Page)].IndexOfAnyExcept((byte)0) < 0);
        Assert.True(all[(5 * (int)Page)..].IndexOfAnyExcept((byte)0xA5) < 0);
    }

    [Fact]
    public void ResidentBytes_TouchedAndDiscarded_AreCounted()
    {
        // More than is looked at in one call.
        using HostAllocation memory = HostAllocation.AllocateSparse(100 << 20);
        foreach (ulong page in (ulong[])[0, 1, 100, (64 << 20) / Page, (memory.Size / Page) - 1])
        {
            memory.Pointer[page * Page] = 1;
        }

        Assert.Equal(5 * Page, memory.ResidentBytes());
        memory.Discard(0, 4 * Page);
        Assert.Equal(3 * Page, memory.ResidentBytes());
    }

    [Theory]
    [InlineData(1, 4096)]
    [InlineData(0, 4095)]
    [InlineData(0, 5 * 4096)]
    [InlineData(4096, 4 * 4096)]
    [InlineData(0xFFFF_FFFF_FFFF_F000, 0x2000)]
    public void Discard_NotWholePagesInside_Throws(ulong offset, ulong length)
    {
        using HostAllocation memory = HostAllocation.AllocateSparse(4 * Page);

        Assert.Throws<ArgumentOutOfRangeException>(() => memory.Discard(offset, length));
    }

    [Fact]
    public void Dispose_Twice_LeavesNullPointer()
    {
        HostAllocation memory = HostAllocation.AllocateSparse(Page);

        memory.Dispose();
        memory.Dispose();

        Assert.True(memory.Pointer == null);
        Assert.Throws<ObjectDisposedException>(() => memory.Discard(0, Page));
    }

    [Fact(Skip = "Reads /proc/self/smaps.", SkipUnless = nameof(IsLinux))]
    public void Discard_LargeTouchedRange_GivesMemoryBack()
    {
        const ulong Size = 64 << 20;
        using HostAllocation memory = HostAllocation.AllocateSparse(Size);
        long untouched = ResidentKibibytes(memory.Pointer);
        new Span<byte>(memory.Pointer, (int)Size).Fill(1);
        long touched = ResidentKibibytes(memory.Pointer);

        memory.Discard(0, Size - Page);

        Assert.Equal(0, untouched);
        Assert.Equal((long)Size / 1024, touched);
        Assert.Equal(4, ResidentKibibytes(memory.Pointer));
    }

    [Theory]
    [InlineData(1 << 20)]
    [InlineData((16 << 20) + 4096)]
    public void AllocateSparse_LargePages_IsZeroAlignedAndGivesPartsBack(int size)
    {
        const ulong Large = HostAllocation.LargePageSize;
        using HostAllocation memory = HostAllocation.AllocateSparse((ulong)size, largePages: true);
        Span<byte> all = new(memory.Pointer, size);
        Assert.False(all.ContainsAnyExcept((byte)0));
        all.Fill(0xA5);
        ulong full = memory.ResidentBytes();

        // A part, and from one large page into the next but one.
        memory.Discard(2 * Page, Page);
        if ((ulong)size > 4 * Large)
        {
            memory.Discard(Large + Page, 2 * Large);
        }

        ulong given = (ulong)size > 4 * Large ? Page + (2 * Large) : Page;
        Assert.Equal((ulong)size, full);
        Assert.Equal(full - given, memory.ResidentBytes());
        Assert.Equal(given, (ulong)all.Count((byte)0));
        if (OperatingSystem.IsLinux())
        {
            Assert.Equal(0UL, (ulong)memory.Pointer % Large);
        }
    }

    [Fact(Skip = "Reads /proc/self/smaps.", SkipUnless = nameof(IsLinux))]
    public void AllocateSparse_OnePageTouched_TakesOnePage()
    {
        using HostAllocation memory = HostAllocation.AllocateSparse(64UL << 30);

        memory.Pointer[40UL << 30] = 1;

        Assert.Equal(4, ResidentKibibytes(memory.Pointer + (40UL << 30)));
    }

    /// <summary>Resident size of the mapping that holds the address.</summary>
    private static long ResidentKibibytes(byte* address)
    {
        bool inside = false;
        foreach (string line in File.ReadLines("/proc/self/smaps"))
        {
            string[] words = line.Split([' ', '-'], StringSplitOptions.RemoveEmptyEntries);
            if (ulong.TryParse(words[0], System.Globalization.NumberStyles.HexNumber, null, out ulong start))
            {
                ulong end = ulong.Parse(words[1], System.Globalization.NumberStyles.HexNumber);
                inside = (ulong)address >= start && (ulong)address < end;
            }
            else if (inside && words[0] == "Rss:")
            {
                return long.Parse(words[1]);
            }
        }

        throw new InvalidOperationException("The address is not mapped.");
    }
}
