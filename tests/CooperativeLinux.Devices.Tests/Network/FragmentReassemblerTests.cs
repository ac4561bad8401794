using System.Buffers.Binary;
using CooperativeLinux.Devices.Network.Protocols;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class FragmentReassemblerTests
{
    private readonly FragmentReassembler _reassembler = new();

    [Fact]
    public void Fragments_OfBothFamiliesInAnyOrder_AreJoined()
    {
        byte[] data = [.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 7))];
        foreach (bool isV4 in (bool[])[true, false])
        {
            int[] starts = [4800, 1600, 0, 3200];
            byte[]? whole = null;
            foreach (int start in starts)
            {
                Assert.Null(whole);
                whole = Give(isV4, 9, start, data.AsSpan(start, Math.Min(1600, data.Length - start)), start == 4800);
            }

            Assert.Equal(data, whole);
        }
    }

    [Fact]
    public void Fragments_ThatOverlap_AreForgotten()
    {
        Assert.Null(Give(true, 1, 0, new byte[16], isLast: false));
        Assert.Null(Give(true, 1, 8, new byte[16], isLast: false));
        Assert.Null(Give(true, 1, 16, new byte[8], isLast: true));
    }

    [Fact]
    public void Fragments_BeyondTheLargestPacketOrOfOddSize_AreForgotten()
    {
        Assert.Null(Give(true, 1, 65528, new byte[100], isLast: true));
        Assert.Null(Give(true, 1, 0, new byte[13], isLast: false));
        Assert.Null(Give(true, 1, 13 / 8 * 8, new byte[8], isLast: true));
    }

    [Fact]
    public void Fragments_OfTooManyPackets_PushOutTheOldest()
    {
        for (uint id = 0; id <= FragmentReassembler.MaxPackets; id++)
        {
            Assert.Null(Give(true, id, 0, new byte[8], isLast: false, now: id));
        }

        Assert.Null(Give(true, 0, 8, new byte[8], isLast: true, now: 100));
        Assert.NotNull(Give(true, 5, 8, new byte[8], isLast: true, now: 100));
    }

    [Fact]
    public void Fragments_ThatComeLate_BeginAnew()
    {
        Assert.Null(Give(true, 1, 0, new byte[8], isLast: false, now: 0));
        Assert.Null(Give(true, 1, 8, new byte[8], isLast: true, now: FragmentReassembler.Lifetime + 1));
    }

    private byte[]? Give(bool isV4, uint id, int offset, ReadOnlySpan<byte> data, bool isLast, long now = 0)
    {
        byte[] packet = isV4 ? V4(id, offset, data, isLast) : V6(id, offset, data, isLast);
        Assert.True(IpPacket.TryReadV4(packet, out IpPacket fragment) || IpPacket.TryReadV6(packet, out fragment));
        Assert.True(fragment.IsFragment);
        return _reassembler.TryComplete(fragment, now, out ReadOnlySpan<byte> whole) ? whole.ToArray() : null;
    }

    private static byte[] V4(uint id, int offset, ReadOnlySpan<byte> data, bool isLast)
    {
        byte[] packet = Packets.Ip("10.0.2.15", "10.0.2.2", IpProtocol.Udp, data)[Ethernet.HeaderSize..];
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(4), (ushort)id);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(6), (ushort)((offset / 8) | (isLast ? 0 : 0x2000)));
        packet.AsSpan(10, 2).Clear();
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), InternetChecksum.Finish(InternetChecksum.Sum(packet.AsSpan(0, 20))));
        return packet;
    }

    private static byte[] V6(uint id, int offset, ReadOnlySpan<byte> data, bool isLast)
    {
        byte[] header = [IpProtocol.Udp, 0, 0, 0, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(2), (ushort)(offset | (isLast ? 0 : 1)));
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(4), id);
        return Packets.Ip("fd00::15", "fd00::2", IpProtocol.Fragment, [.. header, .. data])[Ethernet.HeaderSize..];
    }
}
