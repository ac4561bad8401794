using CooperativeLinux.Host.Threads;
using Xunit;

namespace CooperativeLinux.Host.Tests.Threads;

public sealed class VcpuThreadTests
{
    [Fact]
    public void Start_Body_RunsOnANamedBackgroundThread()
    {
        Thread? seen = null;

        Thread thread = VcpuThread.Start(() => seen = Thread.CurrentThread, "vCPU 3");
        thread.Join();

        Assert.Same(thread, seen);
        Assert.Equal("vCPU 3", thread.Name);
        Assert.NotSame(Thread.CurrentThread, seen);
    }

    [Fact]
    public void Start_DeepRecursion_HasSixteenMebibytes()
    {
        int depth = 0;

        VcpuThread.Start(() => depth = Recurse(15 << 10), "deep").Join();

        Assert.Equal(15 << 10, depth);
    }

    [Fact]
    public void Start_BadArguments_Throws()
    {
        Assert.Throws<ArgumentNullException>(() => VcpuThread.Start(null!, "x"));
        Assert.Throws<ArgumentException>(() => VcpuThread.Start(() => { }, ""));
    }

    /// <summary>Takes a little over 1 KiB of stack per level.</summary>
    private static unsafe int Recurse(int depth)
    {
        byte* block = stackalloc byte[768];
        block[0] = (byte)depth;
        int below = depth == 0 ? 0 : Recurse(depth - 1) + 1;
        return block[0] == (byte)depth ? below : -1;
    }
}
