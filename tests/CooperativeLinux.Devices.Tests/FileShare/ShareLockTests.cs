using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

public sealed class ShareLockTests : IDisposable
{
    private const byte Read = 0, Write = 1, None = 2;
    private const byte Success = 0, Blocked = 1;

    private readonly ShareTestFolder _folder = new();
    private readonly ShareClient _client;
    private readonly uint _fid;

    // Another process of the host, so to speak: an open file description of its own.
    private readonly HostNode _hostNode;
    private readonly HostFile _host;

    public ShareLockTests()
    {
        File.WriteAllText(_folder.Of("file"), "0123456789");
        _client = new ShareClient(_folder.Path);
        _fid = Open();
        Assert.Equal(Errno.None, FileName.TryCreate("file"u8, out FileName name));
        Assert.Equal(Errno.None, HostFolder.Open(_folder.Path).Root.Find(name, out HostNode? node, out _));
        _hostNode = node!;
        Assert.Equal(Errno.None, _hostNode.Open(FileOpenMode.ReadWrite, out HostFile? file));
        _host = file!;
    }

    public void Dispose()
    {
        _host.Dispose();
        _hostNode.Release();
        _client.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Lock_OfTheHost_BlocksTheGuestAndTheOtherWayRound()
    {
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Read, 0, 5));

        Assert.Equal(Blocked, SetLock(_fid, Write, 4, 10));
        Assert.Equal(Success, SetLock(_fid, Read, 0, 5));
        Assert.Equal(Success, SetLock(_fid, Write, 5, 0));
        Assert.Equal(Errno.EAGAIN, _host.TryLock(FileLockKind.Read, 9, 1));
        Assert.Equal(Errno.EAGAIN, _host.TryLock(FileLockKind.Write, 0, 1));
        Assert.Equal(Success, SetLock(_fid, None, 0, 0));
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Write, 0, 0));
    }

    [Fact]
    public void GetLock_TellsWhoIsInTheWay()
    {
        Assert.Equal((None, 3ul, 4ul), GetLock(_fid, Write, 3, 4, owner: 1));
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Write, 2, 6));
        Assert.Equal((Write, 2ul, 6ul), GetLock(_fid, Read, 3, 4, owner: 1));
        Assert.Equal(Success, SetLock(_fid, Read, 20, 0, owner: 7));
        Assert.Equal((Read, 20ul, 0ul), GetLock(Open(), Write, 15, 100, owner: 1));
        Assert.Equal((None, 15ul, 100ul), GetLock(Open(), Write, 15, 100, owner: 7));
    }

    [Fact]
    public void Locks_OfTwoGuestProcesses_AreOneToTheHost()
    {
        uint second = Open();
        Assert.Equal(Success, SetLock(_fid, Read, 0, 10, owner: 1));
        Assert.Equal(Success, SetLock(second, Read, 5, 10, owner: 2));
        Assert.Equal(Blocked, SetLock(second, Write, 9, 1, owner: 2));

        // One process unlocks; the other's lock stays, and on the host too.
        Assert.Equal(Success, SetLock(_fid, None, 0, 0, owner: 1));
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Write, 0, 5));
        Assert.Equal(Errno.EAGAIN, _host.TryLock(FileLockKind.Write, 5, 1));

        // Closing lets go.
        Assert.Equal(Errno.None, _client.Clunk(second));
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Write, 0, 0));
    }

    [Fact]
    public void Lock_SameProcessThroughTwoFids_DoesNotBlockItself()
    {
        Assert.Equal(Success, SetLock(_fid, Write, 0, 10, owner: 1));
        Assert.Equal(Success, SetLock(Open(), Write, 5, 10, owner: 1));
        Assert.Equal(Success, SetLock(_fid, Read, 7, 1, owner: 1));
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Read, 7, 1));
        Assert.Equal(Errno.EAGAIN, _host.TryLock(FileLockKind.Read, 8, 1));
        Assert.Equal(Errno.EAGAIN, _host.TryLock(FileLockKind.Read, 6, 1));
    }

    [Fact]
    public void Lock_Waiting_ComesWhenTheHostLetsGo()
    {
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Write, 0, 0));
        ushort tag = SendLock(_fid, Write, 0, 1, wait: true);
        Thread.Sleep(50);
        Assert.Null(_client.TakeAnswer(tag));

        // Others are served meanwhile.
        Assert.Equal(10ul, _client.Stat(_fid).Size);
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.None, 0, 0));

        Assert.Equal(Success, _client.WaitForAnswer(tag)[7]);
        Assert.Equal(Errno.EAGAIN, _host.TryLock(FileLockKind.Read, 0, 0));
    }

    [Fact]
    public void Lock_WaitingAndFlushed_EndsAndIsAnsweredFirst()
    {
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Write, 0, 0));
        ushort tag = SendLock(_fid, Write, 0, 1, wait: true);
        ushort flush = _client.Send(MessageType.Flush, new Fields().Add(tag));

        byte[] flushed = _client.WaitForAnswer(flush);
        byte[]? answer = _client.TakeAnswer(tag);

        Assert.Equal((byte)MessageType.Flush + 1, flushed[4]);
        Assert.NotNull(answer);
        Assert.Equal((uint)Errno.EINTR, BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(7)));
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.None, 0, 0));
        Thread.Sleep(150);
        Assert.Equal(Errno.None, _host.TryLock(FileLockKind.Write, 0, 0));
    }

    [Fact]
    public void Locks_Random_MatchAModel()
    {
        const int Size = 24, Owners = 3;
        int seed = Environment.TickCount;
        Random random = new(seed);
        byte[][] model = [.. Enumerable.Range(0, Owners).Select(_ => Enumerable.Repeat(None, Size).ToArray())];
        uint[] fids = [.. Enumerable.Range(0, Owners).Select(_ => Open())];
        for (int round = 0; round < 3000; round++)
        {
            int owner = random.Next(Owners);
            int start = random.Next(Size);
            int length = random.Next(1, Size - start + 1);
            byte kind = (byte)random.Next(3);
            bool isFree = kind == None || !Enumerable.Range(0, Owners).Any(other => other != owner
                && model[other].AsSpan(start, length).ToArray().Any(held => held != None && (held == Write || kind == Write)));

            byte status = SetLock(fids[owner], kind, (ulong)start, (ulong)length, (uint)owner);

            Assert.True(status == (isFree ? Success : Blocked), $"seed {seed}, round {round}");
            if (isFree)
            {
                model[owner].AsSpan(start, length).Fill(kind);
            }

            for (int position = 0; position < Size; position++)
            {
                byte strongest = model.Any(held => held[position] == Write) ? Write : model.Any(held => held[position] == Read) ? Read : None;
                Errno forRead = _host.TestLock(FileLockKind.Write, (ulong)position, 1, out FileLockRange conflict);
                Assert.True(forRead == Errno.None && (byte)conflict.Kind == strongest, $"seed {seed}, round {round}: the host sees {conflict} at {position}, not {strongest}");
            }
        }
    }

    private uint Open()
    {
        uint fid = _client.Find("file");
        Assert.Equal(Errno.None, _client.Open(fid, 2));
        return fid;
    }

    private byte SetLock(uint fid, byte kind, ulong start, ulong length, uint owner = 1) =>
        _client.WaitForAnswer(SendLock(fid, kind, start, length, wait: false, owner)) is { } answer && answer[4] == (byte)MessageType.Lock + 1
            ? answer[7]
            : throw new InvalidDataException("The lock failed.");

    private ushort SendLock(uint fid, byte kind, ulong start, ulong length, bool wait, uint owner = 1) => _client.Send(
        MessageType.Lock, new Fields().Add(fid).Add(kind).Add(wait ? 1u : 0u).Add(start).Add(length).Add(owner).Add("guest"));

    private (byte Kind, ulong Start, ulong Length) GetLock(uint fid, byte kind, ulong start, ulong length, uint owner)
    {
        Assert.Equal(Errno.None, _client.Ask(MessageType.GetLock, new Fields().Add(fid).Add(kind).Add(start).Add(length).Add(owner).Add("guest"), out byte[] answer));
        return (answer[0], BinaryPrimitives.ReadUInt64LittleEndian(answer.AsSpan(1)), BinaryPrimitives.ReadUInt64LittleEndian(answer.AsSpan(9)));
    }
}
