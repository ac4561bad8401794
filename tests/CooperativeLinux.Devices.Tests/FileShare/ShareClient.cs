using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Devices.FileShare.Server;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>A 9P2000.L client that talks to a session without a transport, one request at a time.</summary>
internal sealed class ShareClient : IAnswerSink, IDisposable
{
    public const int MessageSize = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly Dictionary<ushort, byte[]> _answers = [];
    private readonly byte[] _buffer;
    private ushort _tag;
    private uint _fid;

    public ShareClient(string folder, bool isReadOnly = false, OwnerPolicy owner = OwnerPolicy.Map, HostFolder? host = null)
    {
        FileShareOptions options = new(folder, "test") { IsReadOnly = isReadOnly, Owner = owner };
        Session = new ShareSession(host ?? HostFolder.Open(folder), options, MessageSize, this);
        _buffer = new byte[Session.AnswerBufferSize];
        Assert.Equal(Errno.None, Ask(MessageType.Version, new Fields().Add(MessageSize).Add("9P2000.L"), out _));
        Root = NewFid();
        Assert.Equal(Errno.None, Ask(MessageType.Attach, new Fields().Add(Root).Add(uint.MaxValue).Add("").Add("").Add(0u), out _));
    }

    public ShareSession Session { get; }

    public uint Root { get; }

    public uint NewFid() => ++_fid;

    /// <summary>Sends a request and returns the error of its answer.</summary>
    /// <param name="answer">The answer's fields.</param>
    public Errno Ask(MessageType type, Fields fields, out byte[] answer)
    {
        ushort tag = Send(type, fields);
        byte[]? message = TakeAnswer(tag);
        Assert.NotNull(message);
        Assert.Equal((uint)message.Length, BinaryPrimitives.ReadUInt32LittleEndian(message));
        answer = message[MessageWriter.HeaderSize..];
        if (message[4] == (byte)MessageType.ErrorAnswer)
        {
            return (Errno)BinaryPrimitives.ReadUInt32LittleEndian(answer);
        }

        Assert.Equal((byte)type + 1, message[4]);
        return Errno.None;
    }

    public Errno Ask(MessageType type, Fields fields) => Ask(type, fields, out _);

    /// <summary>Sends a request whose answer may come later.</summary>
    /// <returns>Its tag.</returns>
    public ushort Send(MessageType type, Fields fields)
    {
        ushort tag = ++_tag;
        Assert.True(Session.Serve(0, fields.ToMessage(type, tag), _buffer));
        return tag;
    }

    public byte[]? TakeAnswer(ushort tag)
    {
        lock (_gate)
        {
            return _answers.Remove(tag, out byte[]? message) ? message : null;
        }
    }

    public byte[] WaitForAnswer(ushort tag)
    {
        byte[]? message = null;
        Assert.True(SpinWait.SpinUntil(() => (message = TakeAnswer(tag)) is not null, TimeSpan.FromSeconds(20)));
        return message!;
    }

    void IAnswerSink.Send(int ring, ReadOnlySpan<byte> message)
    {
        lock (_gate)
        {
            _answers[BinaryPrimitives.ReadUInt16LittleEndian(message[5..])] = message.ToArray();
        }
    }

    public Errno Walk(uint fid, out uint newFid, params string[] names)
    {
        newFid = NewFid();
        Fields fields = new Fields().Add(fid).Add(newFid).Add((ushort)names.Length);
        foreach (string name in names)
        {
            fields.Add(name);
        }

        Errno error = Ask(MessageType.Walk, fields, out byte[] answer);
        return error == Errno.None && BinaryPrimitives.ReadUInt16LittleEndian(answer) < names.Length ? Errno.ENOENT : error;
    }

    /// <summary>Walks from the root to a path that exists.</summary>
    public uint Find(string path)
    {
        Assert.Equal(Errno.None, Walk(Root, out uint fid, path.Split('/', StringSplitOptions.RemoveEmptyEntries)));
        return fid;
    }

    public Errno Open(uint fid, uint flags) => Ask(MessageType.Open, new Fields().Add(fid).Add(flags));

    /// <summary>Makes and opens a file in the root.</summary>
    public uint Create(string name, uint flags = 2, uint permissions = 0x1A4)
    {
        Assert.Equal(Errno.None, Walk(Root, out uint fid));
        Assert.Equal(Errno.None, TryCreate(fid, name, flags, permissions));
        return fid;
    }

    public Errno TryCreate(uint folder, string name, uint flags = 2, uint permissions = 0x1A4) =>
        Ask(MessageType.Create, new Fields().Add(folder).Add(name).Add(flags).Add(permissions).Add(0u));

    public Errno Write(uint fid, ulong offset, ReadOnlySpan<byte> data) =>
        Ask(MessageType.Write, new Fields().Add(fid).Add(offset).Add((uint)data.Length).Add(data));

    public byte[] Read(uint fid, ulong offset, uint count)
    {
        Assert.Equal(Errno.None, Ask(MessageType.Read, new Fields().Add(fid).Add(offset).Add(count), out byte[] answer));
        Assert.Equal((uint)answer.Length - 4, BinaryPrimitives.ReadUInt32LittleEndian(answer));
        return answer[4..];
    }

    public Errno Clunk(uint fid) => Ask(MessageType.Clunk, new Fields().Add(fid));

    public (uint Mode, uint User, uint Group, ulong Size) Stat(uint fid)
    {
        Assert.Equal(Errno.None, Ask(MessageType.GetAttributes, new Fields().Add(fid).Add(0x7FFul), out byte[] answer));
        ReadOnlySpan<byte> fields = answer.AsSpan(sizeof(ulong) + Qid.Size);
        return (BinaryPrimitives.ReadUInt32LittleEndian(fields), BinaryPrimitives.ReadUInt32LittleEndian(fields[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(fields[8..]), BinaryPrimitives.ReadUInt64LittleEndian(fields[28..]));
    }

    public Errno SetAttributes(uint fid, uint valid, uint mode = 0, uint user = 0, uint group = 0, ulong size = 0, ulong seconds = 0) =>
        Ask(MessageType.SetAttributes, new Fields().Add(fid).Add(valid).Add(mode).Add(user).Add(group).Add(size)
            .Add(seconds).Add(0ul).Add(seconds).Add(500_000_000ul));

    /// <summary>All names in an open folder.</summary>
    public List<string> List(uint fid, uint count = 8192)
    {
        List<string> names = [];
        ulong offset = 0;
        while (true)
        {
            Assert.Equal(Errno.None, Ask(MessageType.ReadDirectory, new Fields().Add(fid).Add(offset).Add(count), out byte[] answer));
            Assert.InRange(answer.Length - 4, 0, (int)count);
            if (answer.Length == 4)
            {
                return names;
            }

            for (int position = 4; position < answer.Length;)
            {
                offset = BinaryPrimitives.ReadUInt64LittleEndian(answer.AsSpan(position + Qid.Size));
                int length = BinaryPrimitives.ReadUInt16LittleEndian(answer.AsSpan(position + 22));
                names.Add(Encoding.UTF8.GetString(answer, position + 24, length));
                position += 24 + length;
            }
        }
    }

    public void Dispose() => Session.Dispose();
}

/// <summary>The fields of a request.</summary>
internal sealed class Fields
{
    private readonly List<byte> _bytes = [];

    public Fields Add(byte value)
    {
        _bytes.Add(value);
        return this;
    }

    public Fields Add(ushort value) => Add(BitConverter.GetBytes(value));

    public Fields Add(int value) => Add(BitConverter.GetBytes(value));

    public Fields Add(uint value) => Add(BitConverter.GetBytes(value));

    public Fields Add(ulong value) => Add(BitConverter.GetBytes(value));

    public Fields Add(string text) => AddString(Encoding.UTF8.GetBytes(text));

    public Fields AddString(ReadOnlySpan<byte> text)
    {
        Add((ushort)text.Length);
        return Add(text);
    }

    public Fields Add(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public byte[] ToMessage(MessageType type, ushort tag) =>
        [.. BitConverter.GetBytes(_bytes.Count + MessageWriter.HeaderSize), (byte)type, .. BitConverter.GetBytes(tag), .. _bytes];
}
