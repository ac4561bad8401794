using static CooperativeLinux.Host.Sys.LinuxMemoryCalls;

namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>Private anonymous memory that has a large page's border where it is wanted.</summary>
internal static class LinuxAlignedMapping
{
    private const int Large = HostAllocation.LargePageSize;

    /// <summary>Maps a large page too much, and cuts off what is before and behind.</summary>
    /// <param name="size">Bytes; rounded up to whole pages.</param>
    /// <param name="offset">Where the border is to be, a multiple of the page size.</param>
    /// <param name="protection">What may be done with it.</param>
    /// <returns>Its start, or <see cref="MapFailed"/> with the error of mmap kept.</returns>
    public static nint Create(nuint size, nuint offset, int protection)
    {
        nuint length = (size + HostAllocation.PageSize - 1) & ~(nuint)(HostAllocation.PageSize - 1);
        nint range = Map(0, length + Large, protection, MapPrivate | MapAnonymous | MapNoReserve, -1, 0);
        if (range == MapFailed)
        {
            return MapFailed;
        }

        nint start = ((range + (nint)offset + Large - 1) & -Large) - (nint)offset;
        nuint head = (nuint)(start - range);
        if (head != 0)
        {
            _ = Unmap(range, head);
        }

        if (head != Large)
        {
            _ = Unmap(start + (nint)length, Large - head);
        }

        return start;
    }
}
