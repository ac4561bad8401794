using CooperativeLinux.Monitor.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Machine;

public sealed class TlbShootdownTests : IDisposable
{
    private readonly TestDomain _domain = new(3);

    public void Dispose() => _domain.Dispose();

    [Fact]
    public void Flush_VcpuThatIsDown_ForgetsBeforeItRunsWithoutBeingAwaited()
    {
        _domain.Vcpus[1].IsInitialised = true;

        _domain.Services.Tlb.Flush(_domain.Vcpu, 7);

        Assert.Equal(["flush"], _domain.Processor.Calls);
        Assert.Empty(_domain.Processors[1].Calls);
        _domain.Vcpus[1].Attend();
        Assert.Equal(["flush all"], _domain.Processors[1].Calls);
    }

    [Fact]
    public async Task FlushPage_RunningVcpu_IsAwaited()
    {
        VcpuContext other = _domain.Vcpus[1];
        other.IsInitialised = true;
        other.IsUp = true;
        Task serve = Task.Run(async () =>
        {
            while (!other.MustAttend)
            {
                await Task.Delay(1, TestContext.Current.CancellationToken);
            }

            other.Attend();
        }, TestContext.Current.CancellationToken);

        _domain.Services.Tlb.FlushPage(_domain.Vcpu, 2, 0x5000);

        Assert.Equal(["page 5000"], _domain.Processors[1].Calls);
        Assert.Empty(_domain.Processor.Calls);
        Assert.Equal(1, _domain.Processors[1].Polls);
        await serve;
    }

    [Fact]
    public void Requests_TwoPages_BecomeAFlush()
    {
        VcpuRequests requests = new();
        requests.PostPage(0x1000);
        long ticket = requests.PostPage(0x2000);

        requests.Serve(_domain.Processor);

        Assert.Equal(["flush"], _domain.Processor.Calls);
        Assert.True(requests.IsServed(ticket));
        Assert.False(requests.IsPending);
    }
}
