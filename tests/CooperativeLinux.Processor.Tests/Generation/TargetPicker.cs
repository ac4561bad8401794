using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Chooses where an access goes: inside pages, at their ends, across them, where it must fault.</summary>
internal static class TargetPicker
{
    private static readonly int[] WritablePages = [TestLayout.DataA, TestLayout.DataB, TestLayout.DataC, TestLayout.DataD];

    /// <summary>Address of the first byte of an access.</summary>
    /// <param name="rng">Source of choices.</param>
    /// <param name="size">Bytes accessed, at least 1.</param>
    /// <param name="view"><see cref="TestLayout.Low"/> or <see cref="TestLayout.High"/>.</param>
    public static ulong Pick(Rng rng, int size, ulong view)
    {
        size = Math.Max(1, size);
        int alignment = size is 2 or 4 or 8 or 16 or 32 ? size : size >= 64 ? 64 : 8;
        return rng.Below(100) switch
        {
            < 36 => Interior(rng, rng.Pick<int>(WritablePages), size, view, alignment),
            < 54 => Interior(rng, rng.Pick<int>(WritablePages), size, view, 1),
            < 64 => Page(view, rng.Pick<int>([TestLayout.DataB, TestLayout.DataC, TestLayout.ReadOnlyC, TestLayout.DataD]) + 1) - (ulong)size,
            < 74 => Crossing(rng, TestLayout.DataB, size, view),
            < 80 => Crossing(rng, rng.Pick<int>([TestLayout.DataB, TestLayout.ReadOnlyC, TestLayout.DataD]) + 1, size, view),
            < 84 => Crossing(rng, rng.Pick<int>([TestLayout.DataA, TestLayout.DataC, TestLayout.ReadOnlyD]), size, view),
            < 90 => Interior(rng, rng.Pick<int>([TestLayout.ReadOnlyC, TestLayout.ReadOnlyD]), size, view, rng.Chance(2) ? alignment : 1),
            < 95 => Crossing(rng, rng.Chance(2) ? TestLayout.ReadOnlyC : TestLayout.DataD, size, view),
            _ => Interior(rng, rng.Pick<int>([0, 3, 6, 9]), size, view, 1),
        };
    }

    /// <summary>A place for rsp, whose accesses lie on both sides of it.</summary>
    public static ulong PickStack(Rng rng, ulong view)
    {
        ulong middle = view + TestLayout.StackMiddle;
        return rng.Below(20) switch
        {
            < 11 => middle + (ulong)(8 * rng.Between(-200, 200)),
            < 13 => middle + (ulong)rng.Between(-64, 64),
            13 => Page(view, TestLayout.StackFirst) + (ulong)rng.Between(-9, 9),
            14 => Page(view, TestLayout.StackLast + 1) + (ulong)rng.Between(-9, 9),
            15 => Page(view, TestLayout.StackFirst) + (ulong)(8 * rng.Below(3)),
            16 => Page(view, TestLayout.StackLast + 1) - (ulong)(8 * rng.Below(3)),
            17 => Page(view, TestLayout.ReadOnlyC) + (ulong)(8 * rng.Between(-2, 100)),
            18 => Page(view, TestLayout.DataD) + (ulong)(8 * rng.Between(-2, 4)),
            _ => Page(view, 3) + (ulong)rng.Below(TestLayout.PageSize),
        };
    }

    public static ulong Page(ulong view, int page) => view + ((ulong)page * TestLayout.PageSize);

    private static ulong Interior(Rng rng, int page, int size, ulong view, int alignment)
    {
        int room = Math.Max(1, TestLayout.PageSize - size);
        return Page(view, page) + (ulong)(rng.Below(room) / alignment * alignment);
    }

    /// <summary>Straddles the start of a page; a one-byte access goes just before it.</summary>
    private static ulong Crossing(Rng rng, int page, int size, ulong view) =>
        Page(view, page) - (ulong)rng.Between(1, Math.Max(1, size - 1));
}
