using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Tests.Machine;
using CooperativeLinux.Monitor.Traps;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Hypercalls;

public sealed unsafe class VcpuHypercallTests : IDisposable
{
    private const ulong Argument = TestDomain.Scratch;
    private const ulong Initialise = 0, Up = 1, Down = 2, IsUp = 3, Runstate = 5, StopPeriodic = 7, SingleShot = 8, RegisterInfo = 10,
        SendNmi = 11, RegisterTime = 13;

    private readonly TestDomain _domain = new(2);

    public void Dispose() => _domain.Dispose();

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    [InlineData(2, -XenError.ENOENT)]
    [InlineData(8191, -XenError.ENOENT)]
    public void IsUp_Vcpu_DefinesPossibleOnes(uint vcpu, long expected) =>
        Assert.Equal(expected, Call(IsUp, vcpu));

    [Fact]
    public void RegisterInfo_FirstTime_MovesContentKeepsMaskAndMarksPending()
    {
        _domain.Vcpu.Info.UpcallMask = 1;
        _domain.Vcpu.Info.Cr2 = 0x77;
        _domain.Write(Argument, 0x30UL);
        _domain.Write(Argument + 8, 0x40u);

        Assert.Equal(0, Call(RegisterInfo, 0));

        Assert.Equal(0x0101UL, _domain.Read64(0x3_0040) & 0xffff);
        Assert.Equal(ulong.MaxValue, _domain.Read64(0x3_0048));
        Assert.Equal(0x77UL, _domain.Read64(0x3_0050));
        Assert.Equal(-XenError.EBUSY, Call(RegisterInfo, 0));
        _domain.Vcpu.Info.UpcallMask = 0;
        Assert.Equal(1UL, _domain.Read64(0x3_0040) & 0xffff);
    }

    [Fact]
    public void Initialise_Context_LoadsStateAndRunsAfterUp()
    {
        WriteContext();

        Assert.Equal(-XenError.EINVAL, Call(Up, 1));
        Assert.Equal(0, Call(Initialise, 1));
        Assert.Equal(-XenError.EEXIST, Call(Initialise, 1));
        Assert.Equal(0, Call(Up, 1));

        VcpuContext target = _domain.Vcpus[1];
        Assert.Equal([1], _domain.Started);
        Assert.Equal(0x1234_0000UL, target.State->Rip);
        Assert.Equal(0x5678UL, target.State->Rsp);
        Assert.Equal(0x99UL, target.State->Rdi);
        Assert.Equal(0x15UL, target.State->R15);
        Assert.Equal(0x13, target.State->Selectors[Selector.Cs]);
        Assert.Equal(0x1b, target.State->Selectors[Selector.Ss]);
        Assert.Equal(0x20UL, target.KernelRoot);
        Assert.Equal(0xffff_8880_0000_0000UL, target.State->GsBase);
        Assert.Equal(16, target.Descriptors.Entries);
        Assert.Equal(0xabcUL, target.EventCallback.Address);
        Assert.Equal(0x4321UL, target.Traps[14].Address);
        Assert.Equal(1, Call(IsUp, 1));
    }

    [Theory]
    [InlineData(4960, 20_000UL)]
    [InlineData(4832, 0x100UL)]
    [InlineData(5008, 0x10_0000UL)]
    [InlineData(5152, 0x8000_0000_0000_0000UL)]
    [InlineData(4824, 9000UL)]
    [InlineData(4816, 1UL)]
    public void Initialise_BadContext_IsRefused(int offset, ulong value)
    {
        WriteContext();
        _domain.Write(0x3_0000 + (ulong)offset, value);

        Assert.Equal(-XenError.EINVAL, Call(Initialise, 1));
        Assert.False(_domain.Vcpus[1].IsInitialised);
    }

    [Fact]
    public void Down_LastVcpu_EndsDomain()
    {
        Call(Down, 0);

        Assert.Equal(DomainOutcomeKind.PowerOff, _domain.Life.Outcome!.Kind);
    }

    [Fact]
    public void SingleShot_PastDeadline_RaisesTimerAtOnce()
    {
        Assert.Equal(0, _domain.Events.BindVirq(0, 0, out uint port));
        _domain.Write(Argument, 1UL);

        Assert.Equal(0, Call(SingleShot, 0));
        Assert.True(_domain.Events.IsPending(port));
    }

    [Fact]
    public void SingleShot_PastDeadlineOnlyFuture_IsRefused()
    {
        _domain.Write(Argument, 1UL);
        _domain.Write(Argument + 8, 1u);

        Assert.Equal(-XenError.ETIME, Call(SingleShot, 0));
    }

    [Fact]
    public void RegisterTime_Area_GetsCopyWithEvenVersion()
    {
        _domain.Write(Argument, 0x3_0000UL);

        Assert.Equal(0, Call(RegisterTime, 0));

        Assert.Equal(0u, _domain.Read32(0x3_0000) & 1);
        Assert.Equal(_domain.Clock.Scale.Multiplier, _domain.Read32(0x3_0000 + 24));
        Assert.Equal(1u, _domain.Read32(0x3_0000 + 28) >> 8 & 1);
    }

    [Theory]
    [InlineData(0x3_0ff0UL)]
    [InlineData(0xffff_f000_0000_0000UL)]
    public void RegisterTime_BadArea_IsRefused(ulong area)
    {
        _domain.Write(Argument, area);

        Assert.Equal(-XenError.EFAULT, Call(RegisterTime, 0));
    }

    [Fact]
    public void Runstate_Area_SaysRunning()
    {
        _domain.Write(Argument, 0x3_0000UL);
        _domain.Write(0x3_0000, 2u);

        Assert.Equal(0, Call(Runstate, 0));
        Assert.Equal(0u, _domain.Read32(0x3_0000));
    }

    [Fact]
    public void SendNmi_OtherVcpu_IsPendingThere()
    {
        Assert.Equal(0, Call(SendNmi, 1));

        Assert.True(_domain.Vcpus[1].NmiPending);
        Assert.Equal(1, _domain.Processors[1].Polls);
    }

    [Fact]
    public void StopPeriodic_Always_Succeeds() => Assert.Equal(0, Call(StopPeriodic, 1));

    private long Call(ulong command, ulong vcpu)
    {
        ulong argument = command == Initialise ? 0x3_0000 : Argument;
        return _domain.Call(HypercallNumber.VcpuOp, command, vcpu, argument);
    }

    private void WriteContext()
    {
        const ulong Context = 0x3_0000;
        _domain.Write(Context + 520, 0x15UL);
        _domain.Write(Context + 520 + 112, 0x99UL);
        _domain.Write(Context + 520 + 128, 0x1234_0000UL);
        _domain.Write(Context + 520 + 136, 0x10UL);
        _domain.Write(Context + 520 + 152, 0x5678UL);
        _domain.Write(Context + 520 + 160, 0x18UL);
        _domain.Write(Context + 720 + (14 * 16) + 8, 0x4321UL);
        _domain.Write(Context + 4832, 0x21UL);
        _domain.Write(Context + 4960, 16UL);
        _domain.Write(Context + 5008, 0x2_0000UL);
        _domain.Write(Context + 5112, 0xabcUL);
        _domain.Write(Context + 5152, 0xffff_8880_0000_0000UL);
    }
}
