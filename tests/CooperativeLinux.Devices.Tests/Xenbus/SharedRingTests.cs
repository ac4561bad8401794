using System.Buffers.Binary;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Grants;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Xenbus;

public sealed class SharedRingTests : IDisposable
{
    private readonly TestMachine _machine = new();
    private readonly GuestPages _page;

    public SharedRingTests()
    {
        _page = _machine.Pages(40);
        _page.WriteIndex(4, 1);
        _page.WriteIndex(12, 1);
    }

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(112, 1, 32)]
    [InlineData(112, 2, 64)]
    [InlineData(112, 16, 512)]
    [InlineData(12, 1, 256)]
    [InlineData(8, 1, 256)]
    [InlineData(64, 1, 32)]
    public void SlotCount_SizeAndPages_IsThePowerOfTwoThatFits(int slotSize, int pages, int expected)
    {
        GuestPages several = _machine.Pages([.. Enumerable.Range(50, pages).Select(frame => (ulong)frame)]);

        Assert.Equal(expected, new SharedRing(several, slotSize).SlotCount);
    }

    [Fact]
    public void TakeAndPut_Requests_AreAnsweredInTheirSlots()
    {
        SharedRing ring = new(_page, 12);
        Guest guest = new(_page, ring.SlotCount, 12);
        guest.Post(7);
        guest.Post(8);
        Span<byte> slot = stackalloc byte[4];

        Assert.True(ring.TryTake(slot));
        Assert.Equal(7u, BinaryPrimitives.ReadUInt32LittleEndian(slot));
        Assert.True(ring.TryTake(slot));
        Assert.False(ring.TryTake(slot));
        ring.Put([70, 0, 0, 0]);
        ring.Put([80, 0, 0, 0]);
        Assert.Equal(0u, guest.Responses);
        Assert.True(ring.Publish());

        Assert.Equal(70u, guest.TakeResponse());
        Assert.Equal(80u, guest.TakeResponse());
        Assert.Equal(0, ring.Outstanding);
    }

    [Fact]
    public void Publish_GuestAskedForLater_NotifiesOnlyThen()
    {
        SharedRing ring = new(_page, 12);
        Guest guest = new(_page, ring.SlotCount, 12);
        for (uint i = 0; i < 4; i++)
        {
            guest.Post(i);
        }

        _page.WriteIndex(12, 3);
        byte[] slot = new byte[4];
        bool[] told = new bool[4];
        for (int i = 0; i < 4; i++)
        {
            ring.TryTake(slot);
            ring.Put(slot);
            told[i] = ring.Publish();
        }

        Assert.Equal([false, false, true, false], told);
        Assert.False(ring.Publish());
    }

    [Fact]
    public void RequestNotification_NothingThere_AsksForTheNextRequest()
    {
        SharedRing ring = new(_page, 12);
        Guest guest = new(_page, ring.SlotCount, 12);
        Assert.True(guest.Post(1));
        Assert.True(ring.RequestNotification());
        ring.TryTake(new byte[4]);

        Assert.False(ring.RequestNotification());

        Assert.Equal(2u, _page.ReadIndex(4));
        Assert.True(guest.Post(2));
        Assert.False(guest.Post(3));
    }

    [Fact]
    public void Put_NoRequest_Throws()
    {
        SharedRing ring = new(_page, 12);

        Assert.Throws<InvalidOperationException>(() => ring.Put([1]));
    }

    [Theory]
    [InlineData(257u)]
    [InlineData(0x8000_0000u)]
    [InlineData(uint.MaxValue)]
    public void Available_ImpossibleProducer_BreaksTheRing(uint producer)
    {
        SharedRing ring = new(_page, 12);
        _page.WriteIndex(0, producer);

        Assert.Equal(0, ring.Available);
        Assert.True(ring.IsBroken);
        _page.WriteIndex(0, 1);
        Assert.False(ring.TryTake(new byte[4]));
    }

    [Fact]
    public void Available_MoreThanTheUnansweredLeaveRoomFor_BreaksTheRing()
    {
        SharedRing ring = new(_page, 12);
        _page.WriteIndex(0, 200);
        for (int i = 0; i < 200; i++)
        {
            Assert.True(ring.TryTake(new byte[4]));
        }

        _page.WriteIndex(0, 257);

        Assert.False(ring.TryTake(new byte[4]));
        Assert.True(ring.IsBroken);
    }

    [Fact]
    public void Ring_ManyRoundsInTwoThreads_LosesNothing()
    {
        const uint Start = uint.MaxValue - 1000;
        const int Total = 40_000;
        foreach (int offset in new[] { 0, 8 })
        {
            _page.WriteIndex(offset, Start);
        }

        _page.WriteIndex(4, Start + 1);
        _page.WriteIndex(12, Start + 1);
        SharedRing ring = new(_page, 12);
        Guest guest = new(_page, ring.SlotCount, 12, Start);
        using AutoResetEvent toHost = new(false);
        using AutoResetEvent toGuest = new(false);
        Thread host = new(() => Echo(ring, toHost, toGuest, Total));
        host.Start();

        bool isInOrder = true;
        uint posted = 0;
        for (uint received = 0; received < Total;)
        {
            while (posted < Total && posted - received < ring.SlotCount)
            {
                if (guest.Post(posted++))
                {
                    toHost.Set();
                }
            }

            if (guest.Responses == 0 && !guest.AskForResponse())
            {
                Assert.True(toGuest.WaitOne(10_000), $"stuck after {received} responses");
                continue;
            }

            isInOrder &= guest.TakeResponse() == received;
            received++;
        }

        host.Join();
        Assert.True(isInOrder);
        Assert.False(ring.IsBroken);
    }

    private static void Echo(SharedRing ring, AutoResetEvent toHost, AutoResetEvent toGuest, int total)
    {
        Span<byte> slot = stackalloc byte[12];
        for (int done = 0; done < total;)
        {
            if (!ring.TryTake(slot))
            {
                if (!ring.RequestNotification() && !toHost.WaitOne(10_000))
                {
                    return;
                }

                continue;
            }

            ring.Put(slot);
            done++;
            if (ring.Publish())
            {
                toGuest.Set();
            }
        }
    }

    /// <summary>The frontend's side of a ring whose slots begin with a number.</summary>
    private sealed class Guest(GuestPages page, int slots, int slotSize, uint start = 0)
    {
        private uint _producer = start;
        private uint _consumer = start;

        public uint Responses => page.ReadIndex(8) - _consumer;

        /// <summary>Posts a request. Returns whether the backend wants to be notified.</summary>
        public bool Post(uint number)
        {
            page.CopyFrom(Offset(_producer), BitConverter.GetBytes(number));
            uint old = _producer++;
            page.WriteIndex(0, _producer);
            Interlocked.MemoryBarrier();
            return _producer - page.ReadIndex(4) < _producer - old;
        }

        public uint TakeResponse()
        {
            Span<byte> slot = stackalloc byte[4];
            page.CopyTo(Offset(_consumer++), slot);
            return BitConverter.ToUInt32(slot);
        }

        public bool AskForResponse()
        {
            page.WriteIndex(12, _consumer + 1);
            Interlocked.MemoryBarrier();
            return Responses != 0;
        }

        private int Offset(uint index) => 64 + ((int)(index & (uint)(slots - 1)) * slotSize);
    }
}
