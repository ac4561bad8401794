using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

public sealed class FileShareBackendTests : IDisposable
{
    private readonly ShareTestFolder _folder = new();

    public void Dispose()
    {
        _folder.AssertOutsideIsUntouched();
        _folder.Dispose();
    }

    [Fact]
    public void Nodes_BeforeTheFrontend_OfferTheTransport()
    {
        using ShareFrontend guest = new(_folder.Path);
        Assert.Equal("test", guest.Machine.Store.Read($"/local/domain/1/{ShareFrontend.Front}/tag"));
        Assert.Equal("1", guest.Machine.Store.Read(ShareFrontend.Back + "/versions"));
        Assert.True(int.Parse(guest.Machine.Store.Read(ShareFrontend.Back + "/max-rings")!) >= 2);
        Assert.Equal("8", guest.Machine.Store.Read(ShareFrontend.Back + "/max-ring-page-order"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Messages_OfAnySize_WrapRoundTheRing(int order)
    {
        using ShareFrontend guest = new(_folder.Path, order);
        guest.Connect();
        int size = guest.Attach();
        Assert.Equal(guest.RingSize, size);
        guest.Send(0, new Fields().Add(1u).Add("file").Add(2u).Add(420u).Add(0u).ToMessage(MessageType.Create, 2));
        Assert.Equal((byte)MessageType.Create + 1, guest.Receive(0)[4]);
        Random random = new(order);
        for (int i = 0; i < 50; i++)
        {
            byte[] data = new byte[random.Next(size - 23)];
            random.NextBytes(data);
            int ring = i % 2;
            guest.Send(ring, new Fields().Add(1u).Add(0ul).Add((uint)data.Length).Add(data).ToMessage(MessageType.Write, (ushort)ring));
            Assert.Equal((uint)data.Length, BinaryPrimitives.ReadUInt32LittleEndian(guest.Receive(ring).AsSpan(7)));
            guest.Send(ring, new Fields().Add(1u).Add(0ul).Add((uint)data.Length).ToMessage(MessageType.Read, (ushort)ring));
            byte[] answer = guest.Receive(ring);
            Assert.Equal(ring, BinaryPrimitives.ReadUInt16LittleEndian(answer.AsSpan(5)));
            Assert.Equal(data, answer[11..]);
        }
    }

    [Fact]
    public void Requests_ManyInFlight_AreAllAnswered()
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Connect();
        guest.Attach();
        HashSet<int>[] tags = [[], []];
        for (int round = 0; round < 20; round++)
        {
            for (ushort tag = 0; tag < 60; tag++)
            {
                guest.Send(tag % 2, new Fields().Add(1u).Add(0x7FFul).ToMessage(MessageType.GetAttributes, tag));
                tags[tag % 2].Add(tag);
            }

            for (int ring = 0; ring < 2; ring++)
            {
                while (tags[ring].Count > 0)
                {
                    byte[] answer = guest.Receive(ring);
                    Assert.Equal((byte)MessageType.GetAttributes + 1, answer[4]);
                    Assert.True(tags[ring].Remove(BinaryPrimitives.ReadUInt16LittleEndian(answer.AsSpan(5))));
                }
            }
        }
    }

    [Fact]
    public void Answers_GuestThatDoesNotRead_WaitForRoomAndCloseAllTheSame()
    {
        using ShareFrontend guest = new(_folder.Path, order: 1);
        guest.Connect();
        guest.Attach();
        for (ushort tag = 0; tag < 40; tag++)
        {
            guest.Send(0, new Fields().Add(1u).Add(0x7FFul).ToMessage(MessageType.GetAttributes, tag));
        }

        // 40 answers of 160 bytes do not fit into 4 KiB; the other ring still answers.
        guest.Send(1, new Fields().Add((ushort)999).ToMessage(MessageType.Flush, 41));
        Assert.Equal((byte)MessageType.Flush + 1, guest.Receive(1)[4]);
        for (int i = 0; i < 40; i++)
        {
            guest.Receive(0);
        }

        for (ushort tag = 0; tag < 40; tag++)
        {
            guest.Send(0, new Fields().Add(1u).Add(0x7FFul).ToMessage(MessageType.GetAttributes, tag));
        }

        guest.Machine.GuestWrites($"{ShareFrontend.Front}/state", "5");
        guest.AssertBackend("5");
    }

    [Fact]
    public void Frontend_Closes_StopsTheService()
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Connect();
        guest.Attach();
        guest.Machine.GuestWrites($"{ShareFrontend.Front}/state", "6");
        guest.AssertBackend("6");
        Assert.Null(guest.Error);
    }

    [Theory]
    [InlineData("version", "2")]
    [InlineData("num-rings", "0")]
    [InlineData("num-rings", "5")]
    [InlineData("num-rings", "3")]
    [InlineData("ring-ref0", "999999")]
    [InlineData("ring-ref1", "x")]
    [InlineData("event-channel-1", "4000")]
    public void Nodes_Wrong_CloseTheDevice(string key, string value)
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Machine.GuestWrites($"{ShareFrontend.Front}/{key}", value);
        guest.Connect("5");
        Assert.NotNull(guest.Error);
    }

    [Theory]
    [InlineData(ShareFrontend.Order, 10u)]
    [InlineData(ShareFrontend.Order, 0u)]
    [InlineData(ShareFrontend.Order, 0xFFFFFFFFu)]
    [InlineData(ShareFrontend.References, 400u)]
    [InlineData(ShareFrontend.References + 4, 0xFFFFFFFFu)]
    public void Interface_Wrong_ClosesTheDevice(int offset, uint value)
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Interfaces[1].At<uint>(offset) = value;
        guest.Connect("5");
        Assert.Contains("ring-ref1", guest.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(6u)]
    [InlineData(8193u)]
    [InlineData(0xFFFFFFFFu)]
    public void Message_ImpossibleSize_ClosesTheDevice(uint size)
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Connect();
        byte[] message = new Fields().Add(0ul).ToMessage(MessageType.Clunk, 1);
        BinaryPrimitives.WriteUInt32LittleEndian(message, size);
        guest.Send(0, message);
        guest.AssertBackend("5");
        Assert.Contains("impossible size", guest.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Message_InPieces_IsServedWhenWholeAndWaitsAtRest()
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Connect();
        guest.Attach();
        byte[] message = new Fields().Add(1u).Add(0x7FFul).ToMessage(MessageType.GetAttributes, 1);
        guest.Send(0, message[..3]);
        guest.Send(0, message[3..12]);
        TimeSpan before = Environment.CpuUsage.TotalTime;
        Thread.Sleep(500);
        Assert.InRange(Environment.CpuUsage.TotalTime - before, TimeSpan.Zero, TimeSpan.FromMilliseconds(250));
        guest.Send(0, message[12..]);
        Assert.Equal((byte)MessageType.GetAttributes + 1, guest.Receive(0)[4]);
    }

    [Fact]
    public void Index_Impossible_ClosesTheDevice()
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Connect();
        guest.Interfaces[0].WriteIndex(ShareFrontend.OutProducer, 100_000);
        guest.Notify(0);
        guest.AssertBackend("5");
    }

    [Fact]
    public async Task Rings_Random_HarmTheDeviceAtWorst()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("COLINUX_TEST_SEED"), out int set) ? set : Environment.TickCount;
        TestContext.Current.SendDiagnosticMessage($"seed {seed}");
        Random random = new(seed);
        File.CreateSymbolicLink(_folder.Of("link"), _folder.Outside);
        bool isThorough = double.TryParse(Environment.GetEnvironmentVariable("COLINUX_TEST_SCALE"), out double scale) && scale >= 2;
        long end = Environment.TickCount64 + (isThorough ? 120_000 : 3000);
        int rounds = 0;
        while (Environment.TickCount64 < end)
        {
            using ShareFrontend guest = new(_folder.Path, random.Next(1, 4));
            guest.Connect();
            guest.Attach();
            for (int i = 0; i < 60; i++)
            {
                int ring = random.Next(ShareFrontend.Rings);
                byte[] noise = new byte[random.Next(1, 300)];
                random.NextBytes(noise);
                switch (random.Next(8))
                {
                    case 0:
                        guest.Data[ring].CopyFrom(random.Next(guest.Data[ring].Length - noise.Length), noise);
                        break;
                    case 1:
                        guest.Interfaces[ring].CopyFrom(random.Next(200), noise);
                        break;
                    case 2:
                        int[] indices = [ShareFrontend.InConsumer, ShareFrontend.InProducer, ShareFrontend.OutConsumer, ShareFrontend.OutProducer];
                        guest.Interfaces[ring].WriteIndex(indices[random.Next(indices.Length)], (uint)random.Next(-10, 10_000));
                        break;
                    case 3:
                        guest.Machine.Grant((uint)random.Next(20, 40), (uint)random.Next(300));
                        break;
                    default:
                        // A message that looks right, from anywhere in the ring on.
                        byte[] fields = noise.Length < 40 ? [1, 0, 0, 0, .. noise] : noise;
                        byte[] message = new Fields().Add(fields).ToMessage((MessageType)(random.Next(4, 64) * 2), (ushort)random.Next(100));
                        uint produced = guest.Interfaces[ring].ReadIndex(ShareFrontend.OutProducer);
                        guest.Data[ring].CopyToRing(guest.RingSize, guest.RingSize, produced, message);
                        guest.Interfaces[ring].WriteIndex(ShareFrontend.OutProducer, produced + (uint)message.Length);
                        break;
                }

                guest.Notify(ring);
                if (random.Next(20) == 0)
                {
                    guest.Machine.GuestWrites($"{ShareFrontend.Front}/state", $"{random.Next(8)}");
                }
            }

            rounds++;
            if (random.Next(4) == 0)
            {
                // Unplugged in the middle of it.
                await guest.Backend.RemoveAsync(TimeSpan.FromMilliseconds(random.Next(5)));
                Assert.False(guest.Machine.Store.Exists(ShareFrontend.Back), $"seed {seed}, round {rounds}");
                continue;
            }

            guest.Machine.GuestWrites($"{ShareFrontend.Front}/state", "6");
            Assert.True(SpinWait.SpinUntil(() => guest.Machine.Store.Read(ShareFrontend.Back + "/state") is "6" or "5", 20_000), $"seed {seed}, round {rounds}");
        }

        // Another machine in the same process is well.
        using ShareFrontend other = new(_folder.Path);
        other.Connect();
        Assert.True(other.Attach() > 0, $"seed {seed}");
    }
}
