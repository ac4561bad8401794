using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>
/// A 9P2000.L server for one folder. Requests may come on several threads at once. Whatever a message holds, the worst answer is an error.
/// Protocol: Linux, include/net/9p/9p.h and net/9p/client.c; diod's protocol.md.
/// </summary>
internal sealed partial class ShareSession : IDisposable
{
    /// <summary>Least message size that a client may ask for, in bytes.</summary>
    public const int MinMessageSize = 4096;

    /// <summary>Bytes of the buffer that a message's answer is made in.</summary>
    public int AnswerBufferSize => _maxMessageSize + SmallAnswerSize;

    // Longer than any answer whose length the guest does not choose.
    private const int SmallAnswerSize = 8192;
    private const int MaxFids = 1 << 18;
    private const int MaxWalk = 16;

    // Bytes to read or write that are copied faster than a thread is woken.
    private const int MaxQuickSize = 64 << 10;

    // size[4] type[1] tag[2] fid[4] offset[8] count[4]
    private const int ReadRequestSize = MessageWriter.HeaderSize + 16;
    private const uint NoUser = uint.MaxValue;

    // Milliseconds between two looks whether the folder is still there.
    private const int LookInterval = 500;

    private readonly HostFolder _folder;
    private readonly FileShareOptions _options;
    private readonly OwnerMapping _owners;
    private readonly ILogger _logger;
    private readonly int _maxMessageSize;
    private readonly FidTable _fids = new(MaxFids);
    private readonly Flights _flights;
    private int _messageSize;
    private int _openFiles;
    private bool _hasLoggedFailure;
    private bool _hasLoggedRemoval;
    private long _nextLook;

    // Set when the guest has come upon another file system below the folder, which may be one that waits for others.
    private volatile bool _hasMounts;

    /// <param name="folder">The folder.</param>
    /// <param name="options">How it is shared.</param>
    /// <param name="maxMessageSize">Largest message that the transport takes, in bytes.</param>
    /// <param name="sink">Takes the answers.</param>
    /// <param name="logger">Told once if a request fails in an unforeseen way.</param>
    public ShareSession(HostFolder folder, FileShareOptions options, int maxMessageSize, IAnswerSink sink, ILogger? logger = null)
    {
        _folder = folder;
        _options = options;
        _owners = OwnerMapping.Create(options.Owner, folder);
        _maxMessageSize = maxMessageSize;
        _messageSize = maxMessageSize;
        _flights = new Flights(sink);
        _logger = logger ?? NullLogger.Instance;
    }

    /// <summary>Fids in use.</summary>
    internal int FidCount => _fids.Count;

    /// <summary>Serves one request and sends its answer, now or later.</summary>
    /// <param name="ring">Ring it came by.</param>
    /// <param name="message">The whole message: size[4] type[1] tag[2] and fields.</param>
    /// <param name="buffer">Room of <see cref="AnswerBufferSize"/> bytes for the answer.</param>
    /// <returns>False if the message breaks the protocol so that there is no sane answer.</returns>
    public bool Serve(int ring, ReadOnlySpan<byte> message, Span<byte> buffer)
    {
        MessageType type = (MessageType)message[4];
        ushort tag = BinaryPrimitives.ReadUInt16LittleEndian(message[5..]);
        if (_flights.TryBegin(ring, tag) is not { } flight)
        {
            return false;
        }

        Exchange exchange = new()
        {
            Flight = flight,
            Fields = new MessageReader(message[MessageWriter.HeaderSize..]),
            Answer = new MessageWriter(buffer, type, tag),
        };
        Errno error;
        try
        {
            error = Dispatch(type, ref exchange);
        }
        catch (Exception exception)
        {
            if (!_hasLoggedFailure)
            {
                _hasLoggedFailure = true;
                _logger.LogError(exception, "Share {Tag}: a request of type {Type} failed", _options.Tag, type);
            }

            error = Errno.EIO;
        }

        if (!exchange.IsDeferred)
        {
            if (error == Errno.None && exchange.Answer.Length > _messageSize)
            {
                error = Errno.ERANGE;
            }

            if (error != Errno.None)
            {
                exchange.Answer.Fail(error);
                LookForFolder(error);
            }

            _flights.Answer(flight, exchange.Answer.Finish());
        }

        return true;
    }

    /// <summary>Whether the host answers a request from memory as a rule, in less time than it takes to wake a thread.</summary>
    /// <param name="start">Its first bytes: header, and of a read all fields.</param>
    public bool IsQuick(ReadOnlySpan<byte> start)
    {
        if (!_folder.IsLocal || _hasMounts || BinaryPrimitives.ReadUInt32LittleEndian(start) > MaxQuickSize)
        {
            return false;
        }

        return (MessageType)start[4] switch
        {
            MessageType.Sync or MessageType.Lock or MessageType.GetLock or MessageType.Flush or MessageType.Version => false,
            MessageType.Read => start.Length >= ReadRequestSize && BinaryPrimitives.ReadUInt32LittleEndian(start[(ReadRequestSize - sizeof(uint))..]) <= MaxQuickSize,
            _ => true,
        };
    }

    /// <summary>Tells once that the folder itself was removed on the host; the guest only sees an empty one in which nothing can be made.</summary>
    private void LookForFolder(Errno error)
    {
        long now = Environment.TickCount64;
        if (error == Errno.ENOENT && !_hasLoggedRemoval && now >= Volatile.Read(ref _nextLook))
        {
            Volatile.Write(ref _nextLook, now + LookInterval);
            if (_folder.Root.GetStatus(out FileStatus status) == Errno.None && status.Links == 0)
            {
                _hasLoggedRemoval = true;
                _logger.LogWarning("Share {Tag}: the folder {Folder} was removed; start the guest again to share another", _options.Tag, _options.Folder);
            }
        }
    }

    /// <summary>Forgets all that the guest holds.</summary>
    public void Dispose()
    {
        _end.Cancel();
        _locks.Dispose();
        _fids.Clear();
    }

    private Errno Dispatch(MessageType type, ref Exchange exchange) => type switch
    {
        MessageType.Version => Version(ref exchange),
        MessageType.Attach => Attach(ref exchange),
        MessageType.Authenticate => Errno.EOPNOTSUPP,
        MessageType.Flush => Flush(ref exchange),
        MessageType.Walk => Walk(ref exchange),
        MessageType.Clunk => Clunk(ref exchange),
        MessageType.Open => Open(ref exchange),
        MessageType.Create => Create(ref exchange),
        MessageType.Read => Read(ref exchange),
        MessageType.Write => Write(ref exchange),
        MessageType.Sync => Sync(ref exchange),
        MessageType.ReadDirectory => ReadDirectory(ref exchange),
        MessageType.MakeDirectory => MakeDirectory(ref exchange),
        MessageType.MakeNode => MakeNode(ref exchange),
        MessageType.SymbolicLink => SymbolicLink(ref exchange),
        MessageType.Link => Link(ref exchange),
        MessageType.ReadLink => ReadLink(ref exchange),
        MessageType.RenameAt => RenameAt(ref exchange),
        MessageType.Rename => Rename(ref exchange),
        MessageType.UnlinkAt => UnlinkAt(ref exchange),
        MessageType.Remove => Remove(ref exchange),
        MessageType.GetAttributes => GetAttributes(ref exchange),
        MessageType.SetAttributes => SetAttributes(ref exchange),
        MessageType.StatFileSystem => StatFileSystem(ref exchange),
        MessageType.WalkExtendedAttribute => WalkExtendedAttribute(ref exchange),
        MessageType.CreateExtendedAttribute => CreateExtendedAttribute(ref exchange),
        MessageType.Lock => Lock(ref exchange),
        MessageType.GetLock => GetLock(ref exchange),
        _ => Errno.EOPNOTSUPP,
    };

    private Errno Version(ref Exchange exchange)
    {
        uint wanted = exchange.Fields.ReadUInt32();
        ReadOnlySpan<byte> version = exchange.Fields.ReadString();
        if (!exchange.Fields.IsIntact || wanted < MinMessageSize)
        {
            return Errno.EINVAL;
        }

        // A new session: what the guest held before is void.
        _fids.Clear();
        _locks.Clear();
        bool isKnown = version.SequenceEqual("9P2000.L"u8);
        int size = (int)Math.Min(wanted, (uint)_maxMessageSize);
        Volatile.Write(ref _messageSize, size);
        exchange.Answer.Write((uint)size);
        exchange.Answer.WriteString(isKnown ? version : "unknown"u8);
        return Errno.None;
    }

    private Errno Attach(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        exchange.Fields.ReadUInt32();
        exchange.Fields.ReadString();
        exchange.Fields.ReadString();
        uint user = exchange.Fields.ReadUInt32();
        if (!exchange.Fields.IsIntact)
        {
            return Errno.EINVAL;
        }

        HostNode root = _folder.Root;
        Errno error = root.GetStatus(out FileStatus status);
        if (error != Errno.None)
        {
            return error;
        }

        root.AddHolder();
        error = Enter(number, new Fid(root, user == NoUser ? 0 : user));
        exchange.Answer.Write(IdOf(status));
        return error;
    }

    private Errno Flush(ref Exchange exchange)
    {
        ushort tag = exchange.Fields.ReadUInt16();
        exchange.IsDeferred = exchange.Fields.IsIntact && _flights.TryFlush(tag, exchange.Flight);
        return exchange.Fields.IsIntact ? Errno.None : Errno.EINVAL;
    }

    private Errno Walk(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        uint newNumber = exchange.Fields.ReadUInt32();
        int count = exchange.Fields.ReadUInt16();
        if (!exchange.Fields.IsIntact || count > MaxWalk)
        {
            return Errno.EINVAL;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        HostNode node = fid.Node;
        node.AddHolder();
        try
        {
            int countPosition = exchange.Answer.Length;
            exchange.Answer.Write((ushort)0);
            int walked = 0;
            for (; walked < count; walked++)
            {
                Errno error = Step(exchange.Fields.ReadString(), ref node, out Qid id);
                error = exchange.Fields.IsIntact ? error : Errno.EINVAL;
                if (error != Errno.None && walked == 0)
                {
                    return error;
                }

                if (error != Errno.None)
                {
                    break;
                }

                exchange.Answer.Write(id);
            }

            exchange.Answer.Patch(countPosition, (ushort)walked);
            if (walked < count)
            {
                return Errno.None;
            }

            node.AddHolder();
            return Enter(newNumber, new Fid(node, fid.User), newNumber == number ? fid : null);
        }
        finally
        {
            node.Release();
            fid.Release();
        }
    }

    private Errno Step(ReadOnlySpan<byte> bytes, ref HostNode node, out Qid id)
    {
        id = default;
        HostNode? next;
        Errno error;
        FileStatus status;
        if (bytes.SequenceEqual(".."u8))
        {
            // Never the host's "..": the parent is the folder by which we came, and of the root the root.
            next = node.GetParent();
            error = next.GetStatus(out status);
        }
        else
        {
            error = FileName.TryCreate(bytes, out FileName name);
            if (error != Errno.None)
            {
                return error;
            }

            error = node.Find(name, out next, out status);
        }

        if (error != Errno.None)
        {
            next?.Release();
            return error;
        }

        node.Release();
        node = next!;
        id = IdOf(status);
        return Errno.None;
    }

    private Errno Clunk(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        if (!exchange.Fields.IsIntact || !_fids.TryRemove(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        Errno error = FinishAttribute(fid);
        _locks.ReleaseOf(fid);
        fid.Release();
        return error;
    }

    /// <summary>Enters a fid, or gives it up if the number is taken or there are too many.</summary>
    private Errno Enter(uint number, Fid fid, Fid? replaced = null)
    {
        if (number != uint.MaxValue && _fids.TryAdd(number, fid, replaced))
        {
            return Errno.None;
        }

        fid.Release();
        return _fids.IsFull ? Errno.ENFILE : Errno.EINVAL;
    }

    /// <summary>A file's identity. On the root's file system its number there; elsewhere a mixture of both numbers.</summary>
    private Qid IdOf(in FileStatus status)
    {
        byte type = status.Type switch
        {
            FileStatus.Directory => Qid.Directory,
            FileStatus.SymbolicLink => Qid.SymbolicLink,
            _ => Qid.File,
        };
        _hasMounts |= status.Device != _folder.Device && status.Device != 0;
        ulong path = status.Device == _folder.Device ? status.Inode : Mix(status.Inode + Mix(status.Device));
        ulong version = Mix(((ulong)status.Modified.Seconds << 30) + status.Modified.Nanoseconds) ^ status.Size;
        return new Qid(type, (uint)version, path);
    }

    // The finaliser of splitmix64: a bijection that spreads all bits.
    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
