using System.Buffers.Binary;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Processor.Memory;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Grants;

public sealed class GrantTableTests : IDisposable
{
    private const ulong Frames = 64;

    private readonly GuestMemory _memory = new(Frames * GuestMemory.PageSize);
    private readonly GrantTable _grants;

    public GrantTableTests() => _grants = new GrantTable(_memory);

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void SetupTable_Growing_KeepsEarlierFramesAndContent()
    {
        ulong[] first = new ulong[2];
        ulong[] second = new ulong[4];
        Assert.Equal(GrantTable.StatusOkay, _grants.SetupTable(2, first));
        Grant(600, flags: 1, domain: 0, frame: 7);

        Assert.Equal(GrantTable.StatusOkay, _grants.SetupTable(4, second));

        Assert.Equal([SpecialFrames.GrantTable, SpecialFrames.GrantTable + 1], first);
        Assert.Equal(first, second[..2]);
        Assert.True(_grants.TryMap(600, write: true, out ulong frame));
        Assert.Equal(7UL, frame);
        _grants.QuerySize(out uint count, out uint maximum);
        Assert.Equal((4u, 64u), (count, maximum));
    }

    [Fact]
    public void SetupTable_FewerFrames_TellsThoseAndShrinksNothing()
    {
        _grants.SetupTable(4, new ulong[4]);
        ulong[] frames = new ulong[1];

        Assert.Equal(GrantTable.StatusOkay, _grants.SetupTable(1, frames));

        Assert.Equal(SpecialFrames.GrantTable, frames[0]);
        Assert.Equal(4, _grants.FrameCount);
    }

    [Theory]
    [InlineData(65u)]
    [InlineData(uint.MaxValue)]
    public void SetupTable_TooMany_IsRefused(uint count)
    {
        Assert.Equal(GrantTable.StatusGeneralError, _grants.SetupTable(count, new ulong[128]));
        Assert.Equal(0, _grants.FrameCount);
    }

    [Fact]
    public void SetVersion_OnlyOne_IsAccepted()
    {
        Assert.Equal(0, _grants.SetVersion(1));
        Assert.Equal(-XenError.EINVAL, _grants.SetVersion(2));
        Assert.Equal(1u, _grants.Version);
    }

    [Theory]
    [InlineData(1, 0, 7u, true, true)]
    [InlineData(1, 0, 7u, false, true)]
    [InlineData(5, 0, 7u, false, true)]
    [InlineData(5, 0, 7u, true, false)]
    [InlineData(0, 0, 7u, false, false)]
    [InlineData(2, 0, 7u, false, false)]
    [InlineData(3, 0, 7u, false, false)]
    [InlineData(1, 1, 7u, false, false)]
    [InlineData(1, 0, 64u, false, false)]
    [InlineData(1, 0, uint.MaxValue, false, false)]
    [InlineData(1, 0, 63u, true, true)]
    [InlineData(0x19, 0, 7u, true, true)]
    public void TryMap_Entry_IsChecked(int flags, int domain, uint frame, bool write, bool expected)
    {
        _grants.SetupTable(1, new ulong[1]);
        Grant(9, flags, domain, frame);

        Assert.Equal(expected, _grants.TryMap(9, write, out _));
    }

    [Theory]
    [InlineData(512u)]
    [InlineData(uint.MaxValue)]
    [InlineData(0x1000_0000u)]
    public void TryMap_BeyondTheTable_IsRefused(uint reference)
    {
        _grants.SetupTable(1, new ulong[1]);

        Assert.False(_grants.TryMap(reference, write: false, out _));
    }

    [Fact]
    public void TryMap_SpecialFrame_IsRefused()
    {
        _grants.SetupTable(1, new ulong[1]);
        Grant(9, 1, 0, (uint)SpecialFrames.GrantTable);

        Assert.False(_grants.TryMap(9, write: true, out _));
    }

    [Fact]
    public void TryWriteAndRead_InBounds_Copy()
    {
        _grants.SetupTable(1, new ulong[1]);
        Grant(9, 1, 0, 3);

        Assert.True(_grants.TryWrite(9, 4090, "secret"u8));

        byte[] read = new byte[6];
        Assert.True(_grants.TryRead(9, 4090, read));
        Assert.Equal("secret"u8.ToArray(), read);
        Assert.Equal((byte)'s', _memory.Frame(3)[4090]);
    }

    [Theory]
    [InlineData(4091, 6)]
    [InlineData(-1, 6)]
    [InlineData(int.MaxValue, 6)]
    [InlineData(int.MinValue, 6)]
    [InlineData(0, 4097)]
    public void TryReadAndWrite_OutOfBounds_AreRefused(int offset, int length)
    {
        _grants.SetupTable(1, new ulong[1]);
        Grant(9, 1, 0, 3);

        Assert.False(_grants.TryRead(9, offset, new byte[length]));
        Assert.False(_grants.TryWrite(9, offset, new byte[length]));
    }

    [Fact]
    public void TryMapPages_OneNotWritable_IsRefused()
    {
        _grants.SetupTable(1, new ulong[1]);
        Grant(9, 1, 0, 3);
        Grant(10, 5, 0, 4);

        Assert.True(_grants.TryMapPages([9], out _));
        Assert.False(_grants.TryMapPages([9, 10], out GuestPages? pages));
        Assert.Null(pages);
        Assert.False(_grants.TryMapPages([], out _));
    }

    [Fact]
    public void Reset_ThenSetup_GivesAnEmptyTable()
    {
        _grants.SetupTable(1, new ulong[1]);
        Grant(9, 1, 0, 3);
        _grants.Reset();
        Assert.False(_grants.TryMap(9, write: false, out _));

        _grants.SetupTable(1, new ulong[1]);

        Assert.False(_grants.TryMap(9, write: false, out _));
    }

    [Fact]
    public void TryMap_RandomEntries_NeverGivesAFrameOutsideRam()
    {
        int seed = Environment.TickCount;
        Random random = new(seed);
        _grants.SetupTable(2, new ulong[2]);
        random.NextBytes(_memory.Frame(SpecialFrames.GrantTable));
        random.NextBytes(_memory.Frame(SpecialFrames.GrantTable + 1));
        for (int i = 0; i < 20_000; i++)
        {
            uint reference = (uint)random.Next(1100);
            bool isMapped = _grants.TryMap(reference, write: random.Next(2) == 0, out ulong frame);
            Assert.True(!isMapped || (frame < Frames && reference < 1024), $"seed {seed}");
        }
    }

    private void Grant(int reference, int flags, int domain, uint frame)
    {
        Span<byte> entry = _memory.Frame(SpecialFrames.GrantTable + (ulong)(reference / 512)).Slice(reference % 512 * 8, 8);
        BinaryPrimitives.WriteUInt16LittleEndian(entry[2..], (ushort)domain);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], frame);
        BinaryPrimitives.WriteUInt16LittleEndian(entry, (ushort)flags);
    }
}
