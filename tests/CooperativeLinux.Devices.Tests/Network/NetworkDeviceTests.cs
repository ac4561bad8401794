using System.Buffers.Binary;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Xenbus;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class NetworkDeviceTests : IDisposable
{
    private static readonly byte[] s_segmentation = [1, 0, 0xb4, 0x05, 1, 0, 0, 0, 0, 0, 0, 0];

    private readonly TestMachine _machine = new();
    private readonly RecordingNetwork _network = new();
    private readonly NetworkDevice _device;
    private readonly TestFrontend _frontend;

    public NetworkDeviceTests()
    {
        _device = new NetworkDevice(_machine.Context, 0, _network, Packets.GuestMac);
        _device.Start();
        _frontend = new TestFrontend(_machine);
    }

    public void Dispose()
    {
        _device.Dispose();
        _machine.Dispose();
    }

    [Fact]
    public void Start_Nodes_SayWhatNetfrontNeeds()
    {
        Assert.Equal(Packets.GuestMac.ToString(), _machine.Store.Read("/local/domain/1/device/vif/0/mac"));
        foreach (string feature in (string[])["feature-rx-copy", "feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6", "feature-ipv6-csum-offload"])
        {
            Assert.Equal("1", _machine.Store.Read($"/local/domain/0/backend/vif/1/0/{feature}"));
        }
    }

    [Theory]
    [InlineData(60, 4096)]
    [InlineData(4096, 4096)]
    [InlineData(1514, 100)]
    [InlineData(65535, 3900)]
    public void Transmit_FrameInPieces_ArrivesWhole(int length, int pieceSize)
    {
        Connect();
        byte[] frame = Bytes(length);

        _frontend.SendFrame(frame, flags: 3, pieceSize: pieceSize);

        Assert.All(_frontend.WaitForResponses(), response => Assert.Equal(0, response.Status));
        Assert.True(SpinWait.SpinUntil(() => _network.Batches > 0, 10_000));
        (byte[] received, FrameOffload offload) = Assert.Single(_network.Frames);
        Assert.Equal(frame, received);
        Assert.Equal(new FrameOffload(FrameChecksum.Partial), offload);
    }

    [Fact]
    public void Transmit_Segmentation_IsToldAndItsSlotAnsweredAsNone()
    {
        Connect();
        byte[] frame = Bytes(20_000);

        _frontend.SendFrame(frame, flags: 3, extra: s_segmentation);

        List<(ushort Id, short Status)> responses = _frontend.WaitForResponses();
        Assert.Equal([0, 1, 0, 0, 0, 0], responses.Select(response => response.Status));
        (byte[] received, FrameOffload offload) = Assert.Single(_network.Frames);
        Assert.Equal(frame, received);
        Assert.Equal(new FrameOffload(FrameChecksum.Partial, FrameSegmentation.TcpV4, 1460), offload);
    }

    [Theory]
    [InlineData(4095u, 0, 100)] // a reference beyond the table
    [InlineData(77u, 0, 100)] // one that is not granted
    [InlineData(310u, 4000, 100)] // beyond its page
    [InlineData(310u, 0, 10)] // no Ethernet header
    public void Transmit_BadRequest_FailsAloneAndTheNextIsServed(uint reference, ushort offset, ushort size)
    {
        Connect();
        _machine.Grant(310, 150);

        _frontend.PutRequest(reference, offset, 0, 9, size);
        _frontend.PublishRequests();
        Assert.Equal([((ushort)9, (short)-1)], _frontend.WaitForResponses());
        _frontend.SendFrame(Bytes(100));

        Assert.Equal(0, Assert.Single(_frontend.WaitForResponses()).Status);
        Assert.Single(_network.Frames);
    }

    [Fact]
    public void Transmit_SizesThatDoNotAddUp_FailTheFrame()
    {
        Connect();
        _machine.Grant(310, 150);
        _frontend.PutRequest(310, 0, 4, 1, 100);
        _frontend.PutRequest(310, 0, 0, 2, 200);
        _frontend.PublishRequests();

        Assert.Equal([-1, -1], _frontend.WaitForResponses().Select(response => response.Status));
        Assert.Equal(XenbusState.Connected, _device.State);
        Assert.Empty(_network.Frames);
    }

    [Fact]
    public void Transmit_EndlessFrame_ClosesTheDevice()
    {
        Connect();
        for (int i = 0; i < 30; i++)
        {
            _frontend.PutRequest(310, 0, 4, 1, 100);
        }

        _frontend.PublishRequests();

        AssertClosed("slots");
    }

    [Fact]
    public void Transmit_FrameWithoutEnd_ClosesTheDevice()
    {
        Connect();
        _frontend.PutRequest(310, 0, 4, 1, 100);
        _frontend.PublishRequests();

        AssertClosed("last slot");
    }

    [Fact]
    public void Transmit_ImpossibleIndex_ClosesTheDevice()
    {
        Connect();
        _frontend.Transmit.WriteIndex(0, 10_000);
        _frontend.Notify();

        AssertClosed("index");
    }

    [Theory]
    [InlineData(60)]
    [InlineData(4096)]
    [InlineData(4097)]
    [InlineData(65549)]
    public void Deliver_Frame_LiesInTheGuestsPages(int length)
    {
        Connect();
        _frontend.PostPages();
        byte[] frame = Bytes(length);
        int first = Math.Min(54, length);
        int second = Math.Min(5000, length - first);

        bool isDelivered = _device.TryDeliver(
            frame.AsSpan(0, first), frame.AsSpan(first, second), frame.AsSpan(first + second), new FrameOffload(FrameChecksum.Partial, FrameSegmentation.TcpV6, 1440));

        Assert.True(isDelivered);
        (byte[] received, ushort flags, byte[]? extra) = _frontend.WaitForFrame();
        Assert.Equal(frame, received);
        Assert.Equal(1 | 2 | 8, flags & ~4);
        Assert.Equal(new byte[] { 1, 0, 0xa0, 0x05, 2, 0, 0, 0 }, extra);
    }

    [Fact]
    public void Deliver_GuestWithoutPages_IsToldOfRoomLater()
    {
        Connect();
        _frontend.PostPages(5);
        byte[] frame = Bytes(60_000);

        Assert.False(_device.TryDeliver(frame, default, default, default));
        Thread.Sleep(50);
        Assert.Equal(0, _network.Rooms);
        _frontend.PostPages();

        Assert.True(SpinWait.SpinUntil(() => _network.Rooms == 1, 10_000));
        Assert.True(_device.TryDeliver(frame, default, default, default));
        Assert.Equal(frame, _frontend.WaitForFrame().Frame);
    }

    [Fact]
    public void Deliver_PageNotGranted_HasAnErrorStatus()
    {
        Connect();
        _frontend.PostPages(1);
        _machine.Memory.Frame(Monitor.Domain.SpecialFrames.GrantTable).Slice(100 * 8, 8).Clear();

        Assert.True(_device.TryDeliver(Bytes(100), default, default, default));

        Span<byte> slot = stackalloc byte[8];
        _frontend.Receive.CopyTo(64, slot);
        Assert.Equal(-1, BinaryPrimitives.ReadInt16LittleEndian(slot[6..]));
        Assert.Equal(XenbusState.Connected, _device.State);
    }

    [Fact]
    public void Frontend_GoesAndComesBack_IsAttachedAgain()
    {
        Connect();
        _frontend.SetState(5);
        Assert.True(SpinWait.SpinUntil(() => _network.Port is null, 10_000));
        _frontend.SetState(6);
        Assert.True(SpinWait.SpinUntil(() => _device.State == XenbusState.Closed, 10_000));
        Assert.True(_device.TryDeliver(Bytes(60), default, default, default));

        _frontend.SetState(1);
        Assert.True(SpinWait.SpinUntil(() => _device.State == XenbusState.InitWait, 10_000));
        TestFrontend again = new(_machine);
        again.Connect();
        Assert.True(SpinWait.SpinUntil(() => _network.Attachments == 2, 10_000));
        again.SendFrame(Bytes(60));

        Assert.Equal(0, Assert.Single(again.WaitForResponses()).Status);
    }

    [Fact]
    public void Frontend_WithoutReceiveCopy_IsRefused()
    {
        _frontend.Connect(() => _frontend.Write("request-rx-copy", "0"));

        AssertClosed("request-rx-copy");
    }

    private static byte[] Bytes(int length)
    {
        byte[] bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    private void Connect()
    {
        _frontend.Connect();
        Assert.True(SpinWait.SpinUntil(() => _device.State == XenbusState.Connected, 10_000));
    }

    private void AssertClosed(string reason)
    {
        Assert.True(SpinWait.SpinUntil(() => _frontend.BackendState == "5", 10_000));
        Assert.Contains(reason, _machine.Store.Read("/local/domain/0/error/backend/vif/0/error"), StringComparison.Ordinal);
        Assert.Null(_network.Port);
    }
}
