using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace CooperativeLinux.Monitor.Store;

/// <summary>
/// A guest's connection to the store: carries out its messages with its rights and within the limits, and queues what it is to
/// be sent. One thread hands messages in; events may be queued by any thread.
/// </summary>
public sealed partial class StoreConnection : IDisposable
{
    private static readonly byte[] _ok = "OK\0"u8.ToArray();

    private readonly XenStore _store;
    private readonly int _domain;
    private readonly Dictionary<uint, StoreTransaction> _transactions = [];
    private readonly List<GuestWatch> _watches = [];
    private readonly Queue<byte[]> _replies = new();
    private readonly Queue<(GuestWatch Watch, string Path)> _events = new();
    private readonly HashSet<(GuestWatch Watch, string Path)> _queued = [];
    private readonly Lock _outputGate = new();
    private uint _lastTransaction;

    /// <param name="store">The store.</param>
    /// <param name="domain">The guest's domain number, not 0.</param>
    public StoreConnection(XenStore store, int domain)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(domain, 1);
        _store = store;
        _domain = domain;
    }

    /// <summary>Raised, on any thread and with locks held, when an event was queued: only take note.</summary>
    public event Action? EventQueued;

    /// <summary>Watch events that were lost because the guest did not read.</summary>
    public long LostEvents { get; private set; }

    /// <summary>Carries one message out and queues the reply.</summary>
    /// <param name="type">Message type; any value.</param>
    /// <param name="requestId">Copied to the reply.</param>
    /// <param name="transactionId">0 or an open transaction.</param>
    /// <param name="payload">At most 4096 bytes; any content.</param>
    public void Handle(uint type, uint requestId, uint transactionId, ReadOnlySpan<byte> payload)
    {
        StoreError error = Dispatch((StoreMessageType)type, transactionId, payload, out byte[] reply);
        if (error == StoreError.None && reply.Length > StoreWire.MaxPayload)
        {
            error = StoreError.E2BIG;
        }

        byte[] message = error == StoreError.None
            ? Message(type, requestId, transactionId, reply)
            : Message((uint)StoreMessageType.Error, requestId, transactionId, Encoding.ASCII.GetBytes($"{error}\0"));
        lock (_outputGate)
        {
            _replies.Enqueue(message);
        }
    }

    /// <summary>Takes the next message to send: replies first, then events.</summary>
    public bool TryTakeOutput(out byte[] message)
    {
        lock (_outputGate)
        {
            if (_replies.TryDequeue(out byte[]? reply))
            {
                message = reply;
                return true;
            }

            if (_events.TryDequeue(out (GuestWatch Watch, string Path) pending))
            {
                _queued.Remove(pending);
                byte[] payload = Encoding.Latin1.GetBytes($"{pending.Watch.Reported(pending.Path)}\0{pending.Watch.Token}\0");
                message = Message((uint)StoreMessageType.WatchEvent, 0, 0, payload);
                return true;
            }
        }

        message = [];
        return false;
    }

    /// <summary>Drops all watches and transactions.</summary>
    public void Dispose() => ResetWatches();

    private static byte[] Message(uint type, uint requestId, uint transactionId, ReadOnlySpan<byte> payload)
    {
        byte[] message = new byte[StoreWire.HeaderSize + payload.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, type);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), requestId);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), transactionId);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(12), (uint)payload.Length);
        payload.CopyTo(message.AsSpan(StoreWire.HeaderSize));
        return message;
    }

    /// <summary>Splits a payload of strings that each end with a zero byte; false if the last does not.</summary>
    private static bool TrySplit(ReadOnlySpan<byte> payload, int minimum, int maximum, out string[] strings)
    {
        strings = [];
        if (payload.IsEmpty || payload[^1] != 0)
        {
            return false;
        }

        strings = Encoding.Latin1.GetString(payload[..^1]).Split('\0');
        return strings.Length >= minimum && strings.Length <= maximum;
    }

    private static byte[] Join(IEnumerable<string> strings) => Encoding.Latin1.GetBytes(string.Concat(strings.Select(text => text + '\0')));

    private StoreError Dispatch(StoreMessageType type, uint transactionId, ReadOnlySpan<byte> payload, out byte[] reply)
    {
        reply = _ok;
        switch (type)
        {
            case StoreMessageType.Directory:
            case StoreMessageType.DirectoryPart:
            case StoreMessageType.Read:
            case StoreMessageType.GetPermissions:
                return Look(type, transactionId, payload, out reply);
            case StoreMessageType.Write:
            case StoreMessageType.MakeDirectory:
            case StoreMessageType.Remove:
            case StoreMessageType.SetPermissions:
                return Change(type, transactionId, payload);
            case StoreMessageType.Watch:
                return Watch(payload);
            case StoreMessageType.Unwatch:
                return Unwatch(payload);
            case StoreMessageType.ResetWatches:
                ResetWatches();
                return StoreError.None;
            case StoreMessageType.TransactionStart:
                return StartTransaction(transactionId, out reply);
            case StoreMessageType.TransactionEnd:
                return EndTransaction(transactionId, payload);
            case StoreMessageType.GetDomainPath:
            case StoreMessageType.IsDomainIntroduced:
                return TellDomain(type, payload, out reply);
            case StoreMessageType.Control:
            case StoreMessageType.Introduce:
            case StoreMessageType.Release:
            case StoreMessageType.Resume:
            case StoreMessageType.SetTarget:
                return StoreError.EACCES;
            default:
                return StoreError.ENOSYS;
        }
    }

    private StoreError Look(StoreMessageType type, uint transactionId, ReadOnlySpan<byte> payload, out byte[] reply)
    {
        reply = _ok;
        int strings = type == StoreMessageType.DirectoryPart ? 2 : 1;
        if (!TrySplit(payload, strings, strings, out string[] arguments) || !StorePath.TryResolve(arguments[0], _domain, out string path))
        {
            return StoreError.EINVAL;
        }

        StoreNode? node = null;
        StoreError error = Run(transactionId, view => view.Get(_domain, path, StoreAccess.Read, out node));
        if (error != StoreError.None)
        {
            return error;
        }

        switch (type)
        {
            case StoreMessageType.Read:
                reply = node!.Value;
                return StoreError.None;
            case StoreMessageType.GetPermissions:
                reply = Join(node!.Permissions.Format());
                return StoreError.None;
            case StoreMessageType.Directory:
                reply = Join(node!.Children.Keys);
                return StoreError.None;
            default:
                return DirectoryPart(node!, arguments[1], out reply);
        }
    }

    /// <summary>The node's generation, and as many names from an offset on as fit; an empty name marks the end.</summary>
    private static StoreError DirectoryPart(StoreNode node, string offsetText, out byte[] reply)
    {
        reply = _ok;
        if (!int.TryParse(offsetText, NumberStyles.None, CultureInfo.InvariantCulture, out int offset))
        {
            return StoreError.EINVAL;
        }

        byte[] names = Join(node.Children.Keys);
        byte[] generation = Encoding.ASCII.GetBytes($"{node.Generation}\0");
        ReadOnlySpan<byte> rest = offset < names.Length ? names.AsSpan(offset) : default;
        int room = StoreWire.MaxPayload - generation.Length - 1;
        if (rest.Length > room)
        {
            reply = [.. generation, .. rest[..(rest[..room].LastIndexOf((byte)0) + 1)]];
            return StoreError.None;
        }

        reply = [.. generation, .. rest, 0];
        return StoreError.None;
    }

    private StoreError Change(StoreMessageType type, uint transactionId, ReadOnlySpan<byte> payload)
    {
        int end = payload.IndexOf((byte)0);
        if (end < 0 || !StorePath.TryResolve(Encoding.Latin1.GetString(payload[..end]), _domain, out string path))
        {
            return StoreError.EINVAL;
        }

        byte[] rest = payload[(end + 1)..].ToArray();
        switch (type)
        {
            case StoreMessageType.Write:
                return Run(transactionId, view => view.Write(_domain, path, rest));
            case StoreMessageType.SetPermissions:
                if (!TrySplit(rest, 1, int.MaxValue, out string[] entries) || !StorePermissions.TryParse(entries, out StorePermissions permissions))
                {
                    return StoreError.EINVAL;
                }

                return Run(transactionId, view => view.SetPermissions(_domain, path, permissions));
            default:
                if (rest.Length != 0)
                {
                    return StoreError.EINVAL;
                }

                return type == StoreMessageType.MakeDirectory
                    ? Run(transactionId, view => view.MakeDirectory(_domain, path))
                    : Run(transactionId, view => view.Remove(_domain, path));
        }
    }

    private StoreError Run(uint transactionId, Func<StoreView, StoreError> operation)
    {
        if (transactionId == 0)
        {
            return _store.Run(operation);
        }

        return _transactions.TryGetValue(transactionId, out StoreTransaction? transaction)
            ? _store.Run(transaction, operation)
            : StoreError.ENOENT;
    }

    private StoreError StartTransaction(uint current, out byte[] reply)
    {
        reply = _ok;
        if (current != 0)
        {
            return StoreError.EBUSY;
        }

        if (_transactions.Count >= _store.Limits.Transactions)
        {
            return StoreError.ENOSPC;
        }

        do
        {
            _lastTransaction++;
        }
        while (_lastTransaction == 0 || _transactions.ContainsKey(_lastTransaction));
        _transactions.Add(_lastTransaction, _store.Begin());
        reply = Encoding.ASCII.GetBytes($"{_lastTransaction}\0");
        return StoreError.None;
    }

    private StoreError EndTransaction(uint transactionId, ReadOnlySpan<byte> payload)
    {
        bool isCommit = payload.SequenceEqual("T\0"u8);
        if (!isCommit && !payload.SequenceEqual("F\0"u8))
        {
            return StoreError.EINVAL;
        }

        if (!_transactions.Remove(transactionId, out StoreTransaction? transaction))
        {
            return StoreError.ENOENT;
        }

        return isCommit ? _store.Commit(transaction) : StoreError.None;
    }

    private StoreError TellDomain(StoreMessageType type, ReadOnlySpan<byte> payload, out byte[] reply)
    {
        reply = _ok;
        if (!TrySplit(payload, 1, 1, out string[] arguments)
            || !ushort.TryParse(arguments[0], NumberStyles.None, CultureInfo.InvariantCulture, out ushort domain))
        {
            return StoreError.EINVAL;
        }

        string answer = type == StoreMessageType.GetDomainPath ? StorePath.OfDomain(domain)
            : domain == 0 || domain == _domain ? "T" : "F";
        reply = Encoding.ASCII.GetBytes($"{answer}\0");
        return StoreError.None;
    }
}
