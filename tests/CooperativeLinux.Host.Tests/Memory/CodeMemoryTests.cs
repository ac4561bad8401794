using CooperativeLinux.Host.Memory;
using Xunit;

namespace CooperativeLinux.Host.Tests.Memory;

public sealed unsafe class CodeMemoryTests
{
    // mov eax, 42; ret
    private static readonly byte[] Return42 = [0xB8, 42, 0, 0, 0, 0xC3];

    [Fact]
    public void Create_OddSizes_RoundsUpAndLaysOutContiguously()
    {
        using CodeMemory memory = CodeMemory.Create(1, CodeMemory.Granularity + 1);

        Assert.Equal(CodeMemory.Granularity, memory.DataSize);
        Assert.Equal(2 * CodeMemory.Granularity, memory.CodeSize);
        Assert.True(memory.Data == memory.Poison + CodeMemory.GuardSize);
        Assert.True(memory.Code == memory.Data + memory.DataSize);
        Assert.True(memory.CodeWritable != memory.Code);
    }

    [Fact]
    public void Code_WrittenThroughWritableView_Executes()
    {
        using CodeMemory memory = CodeMemory.Create(4096, 4096);
        Return42.CopyTo(new Span<byte>(memory.CodeWritable, memory.CodeSize));

        int result = ((delegate* unmanaged<int>)memory.Code)();

        Assert.Equal(42, result);
    }

    [Fact]
    public void Code_PatchedWhileMapped_ExecutesTheNewCode()
    {
        using CodeMemory memory = CodeMemory.Create(4096, 4096);
        byte* last = memory.CodeWritable + memory.CodeSize - Return42.Length;
        Return42.CopyTo(new Span<byte>(last, Return42.Length));
        delegate* unmanaged<int> function = (delegate* unmanaged<int>)(memory.Code + memory.CodeSize - Return42.Length);
        int before = function();

        last[1] = 43;

        Assert.Equal(42, before);
        Assert.Equal(43, function());
    }

    [Fact]
    public void Data_Fresh_IsZeroAndWritableToBothEnds()
    {
        using CodeMemory memory = CodeMemory.Create(1 << 20, 1 << 20);

        bool isZero = new ReadOnlySpan<byte>(memory.Data, memory.DataSize).IndexOfAnyExcept((byte)0) < 0;
        memory.Data[0] = 1;
        memory.Data[memory.DataSize - 1] = 2;

        Assert.True(isZero);
        Assert.Equal(1, memory.Data[0]);
        Assert.Equal(2, memory.Data[memory.DataSize - 1]);
    }

    [Theory]
    [InlineData(0, 4096)]
    [InlineData(4096, 0)]
    [InlineData(-1, 4096)]
    [InlineData(1 << 30, 4096)]
    public void Create_ImpossibleSizes_Throws(int dataSize, int codeSize) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => CodeMemory.Create(dataSize, codeSize));

    [Fact]
    public void Create_ManyInParallelThreads_AllAreContiguous()
    {
        Parallel.For(0, 200, _ =>
        {
            using CodeMemory memory = CodeMemory.Create(3 << 16, 5 << 16);
            Return42.CopyTo(new Span<byte>(memory.CodeWritable, memory.CodeSize));
            memory.Data[0] = 1;
            Assert.Equal(42, ((delegate* unmanaged<int>)memory.Code)());
        });
    }

    [Fact]
    public void Dispose_Twice_DoesNothingMore()
    {
        CodeMemory memory = CodeMemory.Create(4096, 4096);

        memory.Dispose();

        memory.Dispose();
    }
}
