using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Monitor.Store;

namespace CooperativeLinux.Monitor.Tests.Store;

/// <summary>Speaks to a <see cref="StoreConnection"/> as the guest's kernel does, without a ring.</summary>
internal sealed class GuestConnection(XenStore store, int domain = 1) : IDisposable
{
    private readonly Queue<(string Path, string Token)> _events = new();
    private uint _requestId;

    public StoreConnection Connection { get; } = new(store, domain);

    /// <summary>Sends a message and returns the reply's text, an error as "!NAME".</summary>
    public string Call(StoreMessageType type, string payload, uint transaction = 0)
    {
        _requestId++;
        Connection.Handle((uint)type, _requestId, transaction, Encoding.Latin1.GetBytes(payload));
        string? reply = null;
        while (Connection.TryTakeOutput(out byte[] message))
        {
            string text = Encoding.Latin1.GetString(message.AsSpan(16));
            uint replyType = BinaryPrimitives.ReadUInt32LittleEndian(message);
            if (replyType == (uint)StoreMessageType.WatchEvent)
            {
                string[] parts = text.Split('\0');
                _events.Enqueue((parts[0], parts[1]));
                continue;
            }

            if (reply is not null || BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(4)) != _requestId
                || BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(8)) != transaction
                || BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(12)) != text.Length)
            {
                throw new InvalidDataException("Not one reply with the request's numbers.");
            }

            reply = replyType == (uint)StoreMessageType.Error ? "!" + text.TrimEnd('\0') : text;
        }

        return reply ?? throw new InvalidDataException("No reply.");
    }

    public string Write(string path, string value, uint transaction = 0) => Call(StoreMessageType.Write, $"{path}\0{value}", transaction);

    public string Read(string path, uint transaction = 0) => Call(StoreMessageType.Read, $"{path}\0", transaction);

    public string Watch(string path, string token) => Call(StoreMessageType.Watch, $"{path}\0{token}\0");

    public uint Begin() => uint.Parse(Call(StoreMessageType.TransactionStart, "\0").TrimEnd('\0'));

    public string Commit(uint transaction) => Call(StoreMessageType.TransactionEnd, "T\0", transaction);

    /// <summary>The events received so far, as "path token".</summary>
    public string[] TakeEvents()
    {
        while (Connection.TryTakeOutput(out byte[] message))
        {
            string[] parts = Encoding.Latin1.GetString(message.AsSpan(16)).Split('\0');
            _events.Enqueue((parts[0], parts[1]));
        }

        string[] taken = [.. _events.Select(item => $"{item.Path} {item.Token}")];
        _events.Clear();
        return taken;
    }

    public void Dispose() => Connection.Dispose();
}
