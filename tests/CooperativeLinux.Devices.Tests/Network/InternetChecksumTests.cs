using CooperativeLinux.Devices.Network.Protocols;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class InternetChecksumTests
{
    [Fact]
    public void Sum_ExampleOfRfc1071_IsAsThere()
    {
        Assert.Equal(0xddf2, InternetChecksum.Sum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]));
    }

    [Fact]
    public void Sum_AnyLengthAndStart_IsThatOfTwoBytesAtOnce()
    {
        Random random = new(1);
        byte[] bytes = new byte[1500];
        random.NextBytes(bytes);
        bytes.AsSpan(100, 64).Fill(0xff);
        for (int i = 0; i < 2000; i++)
        {
            int start = random.Next(200);
            int length = random.Next(1200);
            ushort seed = (ushort)random.Next(65536);

            Assert.Equal(Slow(bytes.AsSpan(start, length), seed), InternetChecksum.Sum(bytes.AsSpan(start, length), seed));
        }
    }

    [Fact]
    public void HasGoodChecksum_UdpOverBothFamilies_SeesEveryFlippedBit()
    {
        foreach ((string source, string target) in ((string, string)[])[("10.0.2.15", "10.0.2.2"), ("fd00::15", "fd00::2")])
        {
            byte[] frame = Packets.Udp(source, 1000, target, 2000, [1, 2, 3, 4, 5]);
            Assert.True(Read(frame));
            frame[^2] ^= 4;
            Assert.False(Read(frame));
        }

        static bool Read(byte[] frame)
        {
            ReadOnlySpan<byte> content = frame.AsSpan(Ethernet.HeaderSize);
            return (IpPacket.TryReadV4(content, out IpPacket packet) || IpPacket.TryReadV6(content, out packet)) && packet.HasGoodChecksum();
        }
    }

    private static ushort Slow(ReadOnlySpan<byte> bytes, uint sum)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            sum += i % 2 == 0 ? (uint)bytes[i] << 8 : bytes[i];
            sum = (sum & 0xffff) + (sum >> 16);
        }

        return (ushort)sum;
    }
}
