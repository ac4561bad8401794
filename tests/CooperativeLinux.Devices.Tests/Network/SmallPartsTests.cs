using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.Tap;
using CooperativeLinux.Devices.Network.Tcp;
using CooperativeLinux.Devices.Network.User;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class SmallPartsTests
{
    [Theory]
    [InlineData("00:16:3e:12:34:56", true)]
    [InlineData("FF:16:3E:aA:34:56", true)]
    [InlineData("00:16:3e:12:34", false)]
    [InlineData("00:16:3e:12:34:5g", false)]
    [InlineData("00-16-3e-12-34-56", false)]
    [InlineData("00:16:3e:12:34:56:", false)]
    [InlineData("", false)]
    public void MacAddress_Text_IsRead(string text, bool isAddress)
    {
        Assert.Equal(isAddress, MacAddress.TryParse(text, out MacAddress address));
        Assert.Equal(isAddress ? text.ToLowerInvariant() : "00:00:00:00:00:00", address.ToString());
    }

    [Fact]
    public void HostResolvers_File_IsRead()
    {
        const string Text = "# comment\nsearch example.org\nnameserver 10.1.2.3\n nameserver\t2001:db8::1 # trailing\nnameserver nonsense\nnameserver\n";

        Assert.Equal(["10.1.2.3:53", "[2001:db8::1]:53"], HostResolvers.Parse(Text).Select(resolver => resolver.ToString()));
    }

    [Fact]
    public void ChunkBuffer_RandomUse_IsAQueue()
    {
        Random random = new(3);
        ChunkBuffer buffer = new();
        List<byte> expected = [];
        byte next = 0;
        for (int round = 0; round < 3000; round++)
        {
            byte[] bytes = [.. Enumerable.Range(0, random.Next(3) == 0 ? 0 : random.Next(20_000)).Select(_ => next++)];
            switch (random.Next(3))
            {
                case 0:
                    buffer.Append(bytes);
                    break;
                case 1:
                    int half = bytes.Length / 2;
                    buffer.WriteAhead(half, bytes.AsSpan(half));
                    buffer.WriteAhead(0, bytes.AsSpan(0, half));
                    buffer.Commit(bytes.Length);
                    break;
                default:
                    Span<byte> space = buffer.Space();
                    bytes = bytes[..Math.Min(bytes.Length, space.Length)];
                    next = bytes.Length == 0 ? next : (byte)(bytes[^1] + 1);
                    bytes.CopyTo(space);
                    buffer.Commit(bytes.Length);
                    break;
            }

            expected.AddRange(bytes);
            int offset = random.Next(expected.Count + 1);
            ReadOnlyMemory<byte> part = buffer.Peek(offset, random.Next(100_000));
            Assert.True(part.Span.SequenceEqual(expected.GetRange(offset, part.Length).ToArray()));
            int removed = random.Next(Math.Min(expected.Count, 25_000) + 1);
            buffer.Remove(removed);
            expected.RemoveRange(0, removed);
            Assert.Equal(expected.Count, buffer.Count);
        }
    }

    [Fact]
    public void ReceivedRanges_RandomRanges_AdvanceOverWhatIsThere()
    {
        Random random = new(5);
        for (int round = 0; round < 500; round++)
        {
            // Across the wrap of sequence numbers.
            uint start = uint.MaxValue - 100;
            bool[] has = new bool[300];
            ReceivedRanges ranges = new();
            for (int i = 0; i < 12; i++)
            {
                int from = random.Next(1, 290);
                int to = from + random.Next(1, 300 - from);
                Assert.True(ranges.TryAdd(start + (uint)from, start + (uint)to));
                Array.Fill(has, true, from, to - from);
            }

            int at = random.Next(0, 300);
            int expected = at;
            while (expected < has.Length && has[expected])
            {
                expected++;
            }

            // Numbers before the place are of no use any more, so the place only moves on.
            Assert.Equal(start + (uint)expected, ranges.Advance(start + (uint)at));
        }
    }

    [Fact]
    public void ReceivedRanges_TooMany_AreRefused()
    {
        ReceivedRanges ranges = new();
        for (uint i = 1; i <= ReceivedRanges.MaxRanges; i++)
        {
            Assert.True(ranges.TryAdd(i * 10, (i * 10) + 5));
        }

        Assert.False(ranges.TryAdd(5000, 5001));
        Assert.True(ranges.TryAdd(15, 20));
    }

    [Fact]
    public void TcpHeader_RandomBytes_NeverLeaveTheSegment()
    {
        Random random = new(9);
        for (int round = 0; round < 20_000; round++)
        {
            byte[] bytes = new byte[random.Next(80)];
            random.NextBytes(bytes);
            if (bytes.Length > 13)
            {
                bytes[12] = (byte)(random.Next(16) << 4);
                bytes[13] |= (byte)TcpFlags.Syn;
            }

            if (TcpHeader.TryRead(bytes, out TcpHeader header, out ReadOnlySpan<byte> payload))
            {
                Assert.InRange(payload.Length, 0, bytes.Length - TcpHeader.Size);
                Assert.InRange(header.WindowScale ?? 0, 0, 14);
            }
        }
    }

    [Fact]
    public void TcpHeader_Written_IsReadBack()
    {
        TcpHeader header = new(1, 2, 3, 4, TcpFlags.Syn | TcpFlags.Acknowledge, 5) { SegmentSize = 1460, WindowScale = 7 };
        byte[] bytes = new byte[TcpHeader.MaxSize];

        Assert.Equal(TcpHeader.MaxSize, header.Write(bytes));

        Assert.True(TcpHeader.TryRead(bytes, out TcpHeader read, out ReadOnlySpan<byte> payload));
        Assert.Equal(header, read);
        Assert.True(payload.IsEmpty);
    }

    [Theory]
    [InlineData("10.0.2.15", "10.0.2.2", FrameSegmentation.TcpV4, 34)]
    [InlineData("fd00::15", "fd00::2", FrameSegmentation.TcpV6, 54)]
    public void VirtualHeader_OfALargeFrame_IsReadBack(string source, string target, FrameSegmentation segmentation, int start)
    {
        byte[] frame = Packets.Tcp(source, target, new TcpHeader(1, 2, 3, 4, TcpFlags.Acknowledge, 5), new byte[5000]);
        FrameOffload offload = new(FrameChecksum.Partial, segmentation, 1400);
        byte[] header = new byte[VirtualHeader.Size];

        Assert.True(VirtualHeader.TryWrite(header, frame, offload));

        Assert.Equal([1, (byte)(start == 34 ? 1 : 4), (byte)(start + 20), 0, 0x78, 5, (byte)start, 0, 16, 0], header);
        Assert.True(VirtualHeader.TryRead(header, out FrameOffload read));
        Assert.Equal(offload, read);
    }

    [Fact]
    public void VirtualHeader_UnfitFrames_AreRefused()
    {
        byte[] header = new byte[VirtualHeader.Size];
        FrameOffload partial = new(FrameChecksum.Partial);
        FrameOffload large = new(FrameChecksum.Partial, FrameSegmentation.TcpV4, 1400);

        Assert.False(VirtualHeader.TryWrite(header, new byte[60], partial));
        Assert.False(VirtualHeader.TryWrite(header, Packets.Ip("10.0.2.15", "10.0.2.2", IpProtocol.Tcp, new byte[10]), partial));
        Assert.False(VirtualHeader.TryWrite(header, Packets.Udp("10.0.2.15", 1, "10.0.2.2", 2, new byte[10]), large));
        Assert.True(VirtualHeader.TryWrite(header, new byte[60], default));
        header[1] = 3;
        Assert.False(VirtualHeader.TryRead(header, out _));
    }
}
