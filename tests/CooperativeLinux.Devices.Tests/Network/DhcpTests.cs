using System.Buffers.Binary;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.User;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class DhcpTests
{
    private const byte Discover = 1, Offer = 2, Request = 3, Decline = 4, Acknowledge = 5, Refuse = 6, Release = 7, Inform = 8;

    [Fact]
    public void Discover_Answer_OffersThePlan()
    {
        (byte[] reply, bool toAll) = Ask(Message(Discover));

        Assert.True(toAll == false);
        Assert.Equal(2, reply[0]);
        Assert.Equal([10, 0, 2, 15], reply[16..20]);
        Assert.Equal("xidx"u8, reply.AsSpan(4, 4));
        Assert.Equal([2, 4, 6, 8, 10, 12], reply[28..34]);
        Dictionary<byte, byte[]> options = Options(reply);
        Assert.Equal([Offer], options[53]);
        Assert.Equal([255, 255, 255, 0], options[1]);
        Assert.Equal([10, 0, 2, 2], options[3]);
        Assert.Equal([10, 0, 2, 3], options[6]);
        Assert.Equal([10, 0, 2, 2], options[54]);
        Assert.True(BinaryPrimitives.ReadUInt32BigEndian(options[51]) >= 3600);
    }

    [Theory]
    [InlineData("10.0.2.15", Acknowledge)]
    [InlineData("192.168.1.7", Refuse)]
    public void Request_OfAnAddress_IsGrantedIfItIsOurs(string address, byte answer)
    {
        byte[] wanted = new byte[4];
        NetworkAddress.Parse(address).Write(wanted);

        (byte[] reply, bool toAll) = Ask(Message(Request, [50, 4, .. wanted, 54, 4, 10, 0, 2, 2]));

        Assert.Equal([answer], Options(reply)[53]);
        Assert.Equal(answer == Acknowledge, reply[19] == 15);
        Assert.Equal(answer == Refuse, toAll);
    }

    [Fact]
    public void Request_RenewsByOwnAddress()
    {
        byte[] message = Message(Request);
        ((byte[])[10, 0, 2, 15]).CopyTo(message, 12);

        Assert.Equal([Acknowledge], Options(Ask(message).Reply)[53]);
    }

    [Fact]
    public void Inform_Answer_HasNoAddressAndNoLease()
    {
        (byte[] reply, _) = Ask(Message(Inform));

        Assert.Equal([0, 0, 0, 0], reply[16..20]);
        Assert.False(Options(reply).ContainsKey(51));
    }

    [Fact]
    public void Discover_BroadcastWanted_IsSentToAll()
    {
        byte[] message = Message(Discover);
        message[10] = 0x80;

        Assert.True(Ask(message).ToAll);
    }

    [Fact]
    public void Restricted_Answer_HasNoWayOut()
    {
        Dhcp dhcp = new(new AddressPlan { HasOutside = false });
        byte[] reply = new byte[Dhcp.MaxReply];
        int length = dhcp.Answer(Message(Discover), reply, out _);

        Dictionary<byte, byte[]> options = Options(reply[..length]);
        Assert.False(options.ContainsKey(3));
        Assert.False(options.ContainsKey(6));
    }

    [Fact]
    public void Message_ForOthersOrOfNoKind_IsIgnored()
    {
        byte[] reply = new byte[Dhcp.MaxReply];
        Dhcp dhcp = new(new AddressPlan());
        byte[][] messages =
        [
            Message(Decline), Message(Release), Message(99), Message(Request, [54, 4, 10, 0, 2, 9]), [], new byte[240], Message(Discover)[..239],
            Message(Discover, [50, 200, 1]),
        ];

        Assert.Equal([0, 0, 0, 0, 0, 0, 0], messages[..7].Select(message => dhcp.Answer(message, reply, out _)));
        Assert.NotEqual(0, dhcp.Answer(messages[7], reply, out _));
    }

    private static (byte[] Reply, bool ToAll) Ask(byte[] message)
    {
        byte[] reply = new byte[Dhcp.MaxReply];
        int length = new Dhcp(new AddressPlan()).Answer(message, reply, out bool toAll);
        Assert.NotEqual(0, length);
        return (reply[..length], toAll);
    }

    private static byte[] Message(byte type, byte[]? options = null)
    {
        byte[] message = new byte[240];
        message[0] = 1;
        message[1] = 1;
        message[2] = 6;
        "xidx"u8.CopyTo(message.AsSpan(4));
        ((byte[])[2, 4, 6, 8, 10, 12]).CopyTo(message, 28);
        BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(236), 0x63825363);
        return [.. message, 0, 53, 1, type, .. options ?? [], 255];
    }

    private static Dictionary<byte, byte[]> Options(byte[] reply)
    {
        Dictionary<byte, byte[]> options = [];
        for (int at = 240; reply[at] != 255; at += 2 + reply[at + 1])
        {
            options.Add(reply[at], reply[(at + 2)..(at + 2 + reply[at + 1])]);
        }

        return options;
    }
}
