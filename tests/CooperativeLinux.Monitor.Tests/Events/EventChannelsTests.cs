using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Hypercalls;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Events;

public sealed class EventChannelsTests : IDisposable
{
    private readonly EventFixture _fixture = new(vcpuCount: 4);

    private EventChannels Channels => _fixture.Channels;

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void AllocateHostPort_First_IsPortOneAndInterdomain()
    {
        HostChannel channel = Channels.AllocateHostPort(() => { });

        Assert.Equal(1u, channel.Port);
        Assert.Equal(0, Channels.Status(channel.Port, out ChannelStatus status));
        Assert.Equal(ChannelState.Interdomain, status.State);
        Assert.Equal(0, status.Vcpu);
        Assert.Equal(0, status.RemoteDomain);
    }

    [Fact]
    public void BindVirq_Twice_ReturnsExistsAndStatusFindsIt()
    {
        Assert.Equal(0, Channels.BindVirq(Virq.Timer, 1, out uint port));

        Assert.Equal(-XenError.EEXIST, Channels.BindVirq(Virq.Timer, 1, out _));
        Assert.Equal(0, Channels.Status(port, out ChannelStatus status));
        Assert.Equal(new ChannelStatus(ChannelState.Virq, 1, Virq.Timer, 0, 0), status);
        Assert.Equal(0, Channels.BindVirq(Virq.Timer, 2, out uint other));
        Assert.NotEqual(port, other);
    }

    [Theory]
    [InlineData(24u, 0u, -XenError.EINVAL)]
    [InlineData(uint.MaxValue, 0u, -XenError.EINVAL)]
    [InlineData(2u, 1u, -XenError.EINVAL)]
    [InlineData(0u, 4u, -XenError.ENOENT)]
    [InlineData(0u, uint.MaxValue, -XenError.ENOENT)]
    public void BindVirq_Impossible_ReturnsError(uint virq, uint vcpu, int expected)
    {
        Assert.Equal(expected, Channels.BindVirq(virq, vcpu, out _));
    }

    [Fact]
    public void BindIpi_ImpossibleVcpu_ReturnsError()
    {
        Assert.Equal(-XenError.ENOENT, Channels.BindIpi(4, out _));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(7u)]
    [InlineData(4096u)]
    [InlineData(uint.MaxValue)]
    public void PortOperations_ClosedOrImpossiblePort_ReturnError(uint port)
    {
        Assert.Equal(-XenError.EINVAL, Channels.Close(port));
        Assert.Equal(-XenError.EINVAL, Channels.Send(port));
        Assert.Equal(-XenError.EINVAL, Channels.Unmask(port));
        Assert.Equal(-XenError.EINVAL, Channels.BindVcpu(port, 1));
        Assert.Equal(-XenError.EINVAL, Channels.BindHost(port, () => { }, out _));
        Channels.Raise(port);
        Assert.False(Channels.IsPending(port));
    }

    [Fact]
    public void Status_ClosedPort_SaysSo()
    {
        Assert.Equal(0, Channels.Status(9, out ChannelStatus status));
        Assert.Equal(ChannelState.Closed, status.State);
        Assert.Equal(-XenError.EINVAL, Channels.Status(4096, out _));
        Assert.Equal(-XenError.EINVAL, Channels.Status(0, out _));
    }

    [Fact]
    public void Allocate_AllPortsUsed_ReturnsNoSpace()
    {
        for (int i = 1; i < EventChannels.PortCount; i++)
        {
            Assert.Equal(0, Channels.AllocateUnbound(0, out _));
        }

        Assert.Equal(-XenError.ENOSPC, Channels.AllocateUnbound(0, out _));
        Assert.Equal(-XenError.ENOSPC, Channels.BindIpi(0, out _));
        Assert.Throws<InvalidOperationException>(() => Channels.AllocateHostPort(() => { }));
        Assert.Equal(0, Channels.Close(4095));
        Assert.Equal(0, Channels.BindIpi(0, out uint port));
        Assert.Equal(4095u, port);
    }

    [Fact]
    public void Raise_Unmasked_SetsPendingSelectorAndUpcallAndKicksOnce()
    {
        HostChannel channel = Channels.AllocateHostPort(() => { }, vcpu: 1);

        channel.Notify();
        channel.Notify();

        Assert.True(Channels.IsPending(channel.Port));
        Assert.Equal(1UL, _fixture.Info(1).PendingSelector);
        Assert.Equal(1, _fixture.Info(1).UpcallPending);
        Assert.Equal(1, _fixture.Kicks(1));
        Assert.Equal(0, _fixture.Kicks(0));
        Assert.False(Channels.HasPendingUpcall(1));
        Channels.UnmaskUpcalls(1);
        Assert.True(Channels.HasPendingUpcall(1));
    }

    [Fact]
    public void Raise_Masked_SetsPendingOnlyUntilUnmasked()
    {
        Channels.BindIpi(2, out uint port);
        _fixture.Mask(port);

        Assert.Equal(0, Channels.Send(port));

        Assert.True(Channels.IsPending(port));
        Assert.Equal(0, _fixture.Info(2).UpcallPending);
        Assert.Equal(0, _fixture.Kicks(2));
        Assert.Equal(0, Channels.Unmask(port));
        Assert.False(Channels.IsMasked(port));
        Assert.Equal(1, _fixture.Info(2).UpcallPending);
        Assert.Equal(1UL, _fixture.Info(2).PendingSelector);
        Assert.Equal(1, _fixture.Kicks(2));
    }

    [Fact]
    public void Allocate_MaskedPort_KeepsTheGuestsMask()
    {
        _fixture.Mask(1);

        Channels.BindIpi(0, out uint port);

        Assert.Equal(1u, port);
        Assert.True(Channels.IsMasked(port));
    }

    [Fact]
    public void Close_PendingPort_ClearsPendingSoThatTheNextUserIsRaised()
    {
        Channels.BindIpi(0, out uint port);
        Channels.Send(port);
        Channels.Close(port);

        Assert.False(Channels.IsPending(port));
        Channels.BindIpi(3, out uint again);
        Channels.Send(again);
        Assert.Equal(port, again);
        Assert.Equal(1, _fixture.Kicks(3));
    }

    [Fact]
    public void RaiseVirq_BoundAndClosed_RaisesOnlyWhileBound()
    {
        Channels.BindVirq(Virq.Timer, 1, out uint port);

        Channels.RaiseVirq(0, Virq.Timer);
        Assert.False(Channels.IsPending(port));
        Channels.RaiseVirq(1, Virq.Timer);
        Assert.True(Channels.IsPending(port));
        Channels.Close(port);
        Channels.RaiseVirq(1, Virq.Timer);
        Assert.False(Channels.IsPending(port));
        Assert.Equal(0, Channels.BindVirq(Virq.Timer, 1, out _));
    }

    [Fact]
    public void BindVcpu_GlobalVirq_MovesAndClosesCleanly()
    {
        Channels.BindVirq(2, 0, out uint port);

        Assert.Equal(0, Channels.BindVcpu(port, 3));
        Channels.RaiseVirq(0, 2);

        Assert.Equal(1, _fixture.Kicks(3));
        Channels.Close(port);
        Assert.Equal(0, Channels.BindVirq(2, 0, out _));
    }

    [Fact]
    public void BindVcpu_IpiAndPerVcpuVirq_IsRefused()
    {
        Channels.BindIpi(0, out uint ipi);
        Channels.BindVirq(Virq.Debug, 0, out uint virq);

        Assert.Equal(-XenError.EINVAL, Channels.BindVcpu(ipi, 1));
        Assert.Equal(-XenError.EINVAL, Channels.BindVcpu(virq, 1));
        Assert.Equal(-XenError.ENOENT, Channels.BindVcpu(ipi, 4));
    }

    [Fact]
    public void BindVcpu_PendingPort_RaisesAgainOnTheNewVcpu()
    {
        HostChannel channel = Channels.AllocateHostPort(() => { });
        channel.Notify();

        Channels.BindVcpu(channel.Port, 2);

        Assert.Equal(1, _fixture.Info(2).UpcallPending);
        Assert.Equal(1, _fixture.Kicks(2));
    }

    [Fact]
    public void Send_Interdomain_CallsTheHost()
    {
        int calls = 0;
        HostChannel channel = Channels.AllocateHostPort(() => calls++);

        Assert.Equal(0, Channels.Send(channel.Port));

        Assert.Equal(1, calls);
        Assert.False(Channels.IsPending(channel.Port));
    }

    [Fact]
    public void Send_UnboundIsDroppedAndVirqRefused()
    {
        Channels.AllocateUnbound(0, out uint unbound);
        Channels.BindVirq(Virq.Timer, 0, out uint virq);

        Assert.Equal(0, Channels.Send(unbound));
        Assert.Equal(-XenError.EINVAL, Channels.Send(virq));
        Assert.False(Channels.IsPending(unbound));
    }

    [Fact]
    public void BindHost_GuestPort_ConnectsBothWaysAndOwesOneNotification()
    {
        int calls = 0;
        Channels.AllocateUnbound(0, out uint port);

        Assert.Equal(0, Channels.BindHost(port, () => calls++, out HostChannel? channel));

        Assert.Equal(1, calls);
        Channels.Send(port);
        Assert.Equal(2, calls);
        channel!.Notify();
        Assert.True(Channels.IsPending(port));
        Assert.Equal(-XenError.EINVAL, Channels.BindHost(port, () => { }, out _));
    }

    [Fact]
    public void BindHost_PortForAnotherDomain_IsRefused()
    {
        Channels.AllocateUnbound(5, out uint port);

        Assert.Equal(-XenError.EINVAL, Channels.BindHost(port, () => { }, out HostChannel? channel));
        Assert.Null(channel);
    }

    [Fact]
    public void Notify_PortClosedAndUsedAnew_DoesNotTouchTheNewUser()
    {
        HostChannel channel = Channels.AllocateHostPort(() => { });
        Channels.Close(channel.Port);
        Channels.BindIpi(1, out uint port);

        channel.Notify();

        Assert.Equal(channel.Port, port);
        Assert.False(channel.IsOpen);
        Assert.False(Channels.IsPending(port));
    }

    [Fact]
    public void Dispose_HostChannel_LeavesTheGuestsPortUnbound()
    {
        int calls = 0;
        HostChannel channel = Channels.AllocateHostPort(() => calls++);

        channel.Dispose();

        Channels.Status(channel.Port, out ChannelStatus status);
        Assert.Equal(ChannelState.Unbound, status.State);
        Assert.Equal(0, Channels.Send(channel.Port));
        Assert.Equal(0, calls);
        Assert.Equal(0, Channels.BindHost(channel.Port, () => { }, out _));
    }

    [Fact]
    public void Reset_ClosesEverything()
    {
        HostChannel channel = Channels.AllocateHostPort(() => { });
        Channels.BindVirq(Virq.Timer, 0, out _);

        Assert.Equal(0, Channels.Reset());

        Assert.False(channel.IsOpen);
        Assert.Equal(-XenError.EINVAL, Channels.Close(channel.Port));
        Assert.Equal(0, Channels.BindVirq(Virq.Timer, 0, out uint port));
        Assert.Equal(1u, port);
    }

    [Fact]
    public void RegisterVcpuInfo_First_CopiesKeepsMaskAndMarksAllPending()
    {
        _fixture.Info(1).Cr2 = 0x1234;
        const ulong Frame = 5;
        const uint Offset = 128;

        Assert.Equal(0, Channels.RegisterVcpuInfo(1, Frame, Offset));

        ReadOnlySpan<byte> place = _fixture.Memory.Frame(Frame).Slice((int)Offset, 64);
        Assert.Equal(1, place[0]);
        Assert.Equal(1, place[1]);
        Assert.Equal(ulong.MaxValue, BitConverter.ToUInt64(place[8..]));
        Assert.Equal(0x1234UL, BitConverter.ToUInt64(place[16..]));
        Assert.Equal(-XenError.EBUSY, Channels.RegisterVcpuInfo(1, Frame + 1, 0));
    }

    [Fact]
    public void RegisterVcpuInfo_ThenRaise_UsesTheNewPlace()
    {
        Channels.RegisterVcpuInfo(1, 5, 0);
        ref VcpuInfo info = ref _fixture.Info(1);
        info.PendingSelector = 0;
        info.UpcallPending = 0;
        Channels.BindIpi(1, out uint port);

        Channels.Send(port);

        Assert.Equal(1, _fixture.Memory.Frame(5)[0]);
        Assert.Equal(0, _fixture.Shared.VcpuSlots[1].UpcallPending);
    }

    [Theory]
    [InlineData(4, 5UL, 0u, -XenError.ENOENT)]
    [InlineData(-1, 5UL, 0u, -XenError.ENOENT)]
    [InlineData(0, 5UL, 4033u, -XenError.ENXIO)]
    [InlineData(0, 5UL, 4040u, -XenError.ENXIO)]
    [InlineData(0, 5UL, uint.MaxValue, -XenError.ENXIO)]
    [InlineData(0, 5UL, 4u, -XenError.ENXIO)]
    [InlineData(0, 256UL, 0u, -XenError.EINVAL)]
    [InlineData(0, ulong.MaxValue, 0u, -XenError.EINVAL)]
    [InlineData(0, 1UL << 52, 0u, -XenError.EINVAL)]
    [InlineData(0, 255UL, 4032u, 0)]
    public void RegisterVcpuInfo_Bounds_AreChecked(int vcpu, ulong mfn, uint offset, int expected)
    {
        Assert.Equal(expected, Channels.RegisterVcpuInfo(vcpu, mfn, offset));
    }

    [Fact]
    public void RegisterVcpuInfo_VcpuWithoutLegacySlot_StartsMaskedAndSeesEarlierEvents()
    {
        using EventFixture fixture = new(vcpuCount: 64);
        fixture.Channels.BindIpi(40, out uint port);
        fixture.Channels.Send(port);
        Assert.False(fixture.Channels.HasPendingUpcall(40));

        Assert.Equal(0, fixture.Channels.RegisterVcpuInfo(40, 3, 0));

        Assert.Equal(1, fixture.Info(40).UpcallMask);
        Assert.Equal(1, fixture.Info(40).UpcallPending);
        Assert.True(fixture.Channels.IsPending(port));
    }

    [Fact]
    public void Poll_MaskedPortRaised_KicksThePoller()
    {
        Channels.BindIpi(1, out uint port);
        _fixture.Mask(port);
        Assert.Equal(0, Channels.BeginPoll(1, [port]));
        Assert.False(Channels.IsPollDone(1));

        Channels.Send(port);

        Assert.True(Channels.IsPollDone(1));
        Assert.Equal(1, _fixture.Kicks(1));
        Channels.EndPoll(1);
    }

    [Fact]
    public void Poll_OtherPortRaised_DoesNotKick()
    {
        Channels.BindIpi(1, out uint polled);
        Channels.BindIpi(1, out uint other);
        _fixture.Mask(other);
        Channels.BeginPoll(1, [polled]);

        Channels.Send(other);

        Assert.False(Channels.IsPollDone(1));
        Assert.Equal(0, _fixture.Kicks(1));
    }

    [Fact]
    public void Poll_AfterEnd_DoesNotKick()
    {
        Channels.BindIpi(1, out uint port);
        _fixture.Mask(port);
        Channels.BeginPoll(1, [port]);
        Channels.EndPoll(1);

        Channels.Send(port);

        Assert.Equal(0, _fixture.Kicks(1));
    }

    [Fact]
    public void Poll_Impossible_ReturnsError()
    {
        Assert.Equal(-XenError.EINVAL, Channels.BeginPoll(0, [0u]));
        Assert.Equal(-XenError.EINVAL, Channels.BeginPoll(0, [4096u]));
        Assert.Equal(-XenError.EINVAL, Channels.BeginPoll(0, new uint[129]));
        Assert.Equal(-XenError.ENOENT, Channels.BeginPoll(9, [1u]));
    }
}
