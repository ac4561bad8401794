using System.Buffers.Binary;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Processor.Memory;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Monitor.Store;

/// <summary>
/// Carries a guest's store messages over the ring page, on a thread of its own. A guest that breaks the protocol gets an
/// error mark in the page and no more service; a guest that does not read answers has no more requests carried out.
/// </summary>
public sealed class StoreRing : IDisposable
{
    private readonly GuestPages _page;
    private readonly StoreConnection _connection;
    private readonly HostChannel _channel;
    private readonly ILogger _logger;
    private readonly AutoResetEvent _wake = new(false);
    private readonly Thread _thread;
    private readonly byte[] _request = new byte[StoreWire.HeaderSize + StoreWire.MaxPayload];

    // Our own indices are kept here: what the guest writes over them in the page does not matter.
    private uint _requestConsumer;
    private uint _responseProducer;
    private int _requestLength;
    private byte[] _response = [];
    private int _responseSent;
    private volatile bool _isStopping;

    /// <summary>Prepares the page and its event channel and starts serving.</summary>
    /// <param name="store">The store.</param>
    /// <param name="memory">Guest memory.</param>
    /// <param name="frame">Frame of the ring page (store_mfn).</param>
    /// <param name="events">Event channels; one port is taken (store_evtchn).</param>
    /// <param name="domain">The guest's domain number.</param>
    /// <param name="logger">Told once when the guest breaks the protocol.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such frame.</exception>
    public StoreRing(XenStore store, GuestMemory memory, ulong frame, EventChannels events, int domain = 1, ILogger? logger = null)
    {
        if (!GuestPages.TryCreate(memory, [frame], out GuestPages? page))
        {
            throw new ArgumentOutOfRangeException(nameof(frame), frame, "The guest has no such frame.");
        }

        _page = page;
        _logger = logger ?? NullLogger.Instance;
        ResetPage();
        _connection = new StoreConnection(store, domain);
        _connection.EventQueued += Signal;
        _channel = events.AllocateHostPort(Signal);
        _thread = new Thread(Serve) { IsBackground = true, Name = "xenstore" };
        _thread.Start();
    }

    /// <summary>The guest's port.</summary>
    public uint Port => _channel.Port;

    /// <summary>Whether the guest broke the protocol and is served no more.</summary>
    public bool HasFailed { get; private set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_isStopping)
        {
            _isStopping = true;
            _connection.EventQueued -= Signal;
            _wake.Set();
            _thread.Join();
            _channel.Dispose();
            _connection.Dispose();
        }
    }

    private void Signal() => _wake.Set();

    private void ResetPage()
    {
        for (int offset = StoreWire.RequestConsumer; offset <= StoreWire.Error; offset += sizeof(uint))
        {
            _page.WriteIndex(offset, 0);
        }
    }

    private void Serve()
    {
        try
        {
            while (!_isStopping && !HasFailed)
            {
                if (Step())
                {
                    _channel.Notify();
                }
                else if (!HasFailed)
                {
                    _wake.WaitOne();
                }
            }
        }
        catch (Exception exception)
        {
            _logger.LogCritical(exception, "The xenstore ring stopped");
            Fail(StoreWire.ErrorProtocol, "an internal error");
        }
    }

    /// <summary>Moves what can be moved in both directions. Returns whether the guest is to be told.</summary>
    private bool Step()
    {
        bool isChanged = Send();
        while (!_isStopping && !HasFailed && _responseSent == _response.Length && Receive(out bool isComplete))
        {
            isChanged = true;
            if (isComplete)
            {
                Carry();
                Send();
            }
        }

        return isChanged;
    }

    /// <summary>Takes bytes of the current request from the ring. Returns whether there were any.</summary>
    private bool Receive(out bool isComplete)
    {
        isComplete = false;
        uint available = _page.ReadIndex(StoreWire.RequestProducer) - _requestConsumer;
        if (available > StoreWire.RingSize)
        {
            Fail(StoreWire.ErrorRingIndex, "an impossible request index");
            return false;
        }

        if (available == 0)
        {
            return false;
        }

        int wanted = WantedLength() - _requestLength;
        int count = Math.Min(wanted, (int)available);
        _page.CopyFromRing(StoreWire.RequestRing, StoreWire.RingSize, _requestConsumer, _request.AsSpan(_requestLength, count));
        _requestConsumer += (uint)count;
        _requestLength += count;
        _page.WriteIndex(StoreWire.RequestConsumer, _requestConsumer);
        if (_requestLength == StoreWire.HeaderSize && PayloadLength > StoreWire.MaxPayload)
        {
            Fail(StoreWire.ErrorProtocol, "a message of impossible length");
            return false;
        }

        isComplete = _requestLength >= StoreWire.HeaderSize && _requestLength == WantedLength();
        return true;
    }

    private uint PayloadLength => BinaryPrimitives.ReadUInt32LittleEndian(_request.AsSpan(12));

    private int WantedLength() =>
        _requestLength < StoreWire.HeaderSize ? StoreWire.HeaderSize : StoreWire.HeaderSize + (int)PayloadLength;

    private void Carry()
    {
        ReadOnlySpan<byte> message = _request.AsSpan(0, _requestLength);
        _requestLength = 0;
        _connection.Handle(
            BinaryPrimitives.ReadUInt32LittleEndian(message),
            BinaryPrimitives.ReadUInt32LittleEndian(message[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(message[8..]),
            message[StoreWire.HeaderSize..]);
    }

    /// <summary>Puts as much waiting output into the ring as there is room for. Returns whether there was any.</summary>
    private bool Send()
    {
        bool isChanged = false;
        while (!_isStopping)
        {
            if (_responseSent == _response.Length)
            {
                _responseSent = 0;
                if (!_connection.TryTakeOutput(out _response))
                {
                    return isChanged;
                }
            }

            uint used = _responseProducer - _page.ReadIndex(StoreWire.ResponseConsumer);
            if (used > StoreWire.RingSize)
            {
                Fail(StoreWire.ErrorRingIndex, "an impossible response index");
                return isChanged;
            }

            int count = Math.Min(StoreWire.RingSize - (int)used, _response.Length - _responseSent);
            if (count == 0)
            {
                return isChanged;
            }

            _page.CopyToRing(StoreWire.ResponseRing, StoreWire.RingSize, _responseProducer, _response.AsSpan(_responseSent, count));
            _responseSent += count;
            _responseProducer += (uint)count;
            _page.WriteIndex(StoreWire.ResponseProducer, _responseProducer);
            isChanged = true;
        }

        return isChanged;
    }

    private void Fail(uint error, string what)
    {
        HasFailed = true;
        _page.WriteIndex(StoreWire.Error, error);
        _logger.LogWarning("The guest put {What} into its xenstore ring; it is served no more", what);
        _channel.Notify();
    }
}
