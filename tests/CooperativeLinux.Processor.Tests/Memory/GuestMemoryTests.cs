using CooperativeLinux.Processor.Memory;
using Xunit;

namespace CooperativeLinux.Processor.Tests.Memory;

public sealed class GuestMemoryTests
{
    [Fact]
    public void Discard_FramesWithCode_TellsWhoHoldsItAndReadsZero()
    {
        using GuestMemory memory = new(16 * GuestMemory.PageSize);
        memory.TryWrite(3 * GuestMemory.PageSize, 0x1234UL);
        memory.CodeFrames[3] = 1;
        memory.CodeFrames[6] = 1;
        List<ulong> written = [];
        memory.CodeWritten += (frame, _, _) => written.Add(frame);

        memory.Discard(2, 4);

        Assert.Equal([3UL], written);
        Assert.True(memory.TryRead(3 * GuestMemory.PageSize, out ulong value));
        Assert.Equal(0UL, value);
    }

    [Theory]
    [InlineData(0, 17)]
    [InlineData(16, 1)]
    [InlineData(17, 0)]
    [InlineData(1, ulong.MaxValue)]
    public void Discard_OutsideRam_IsRefused(ulong first, ulong count)
    {
        using GuestMemory memory = new(16 * GuestMemory.PageSize);

        Assert.Throws<ArgumentOutOfRangeException>(() => memory.Discard(first, count));
    }
}
