using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>The requests that have no answer yet, so that one can be flushed: the flush is answered after the request. Any thread.</summary>
internal sealed class Flights(IAnswerSink sink)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ushort, Flight> _flights = [];

    /// <summary>Notes a request.</summary>
    /// <returns>False if the tag is in use, which the protocol forbids.</returns>
    public bool TryBegin(ushort tag)
    {
        lock (_gate)
        {
            return _flights.TryAdd(tag, default);
        }
    }

    /// <summary>Sets what stops a request that waits.</summary>
    /// <returns>False if it has been flushed already.</returns>
    public bool TrySetCancel(ushort tag, Action cancel)
    {
        lock (_gate)
        {
            if (!_flights.TryGetValue(tag, out Flight flight) || flight.Flushes is not null)
            {
                return false;
            }

            _flights[tag] = flight with { Cancel = cancel };
            return true;
        }
    }

    /// <summary>Takes a flush.</summary>
    /// <returns>Whether it waits for the request; otherwise answer it at once.</returns>
    public bool TryFlush(ushort tag, int ring, ushort flushTag)
    {
        Action? cancel;
        lock (_gate)
        {
            if (tag == flushTag || !_flights.TryGetValue(tag, out Flight flight))
            {
                return false;
            }

            _flights[tag] = flight with { Flushes = [.. flight.Flushes ?? [], (ring, flushTag)] };
            cancel = flight.Cancel;
        }

        cancel?.Invoke();
        return true;
    }

    /// <summary>Ends a request, after its answer was sent, and answers the flushes that waited for it.</summary>
    public void End(ushort tag)
    {
        Flight flight;
        lock (_gate)
        {
            _flights.Remove(tag, out flight);
        }

        Span<byte> message = stackalloc byte[MessageWriter.HeaderSize];
        foreach ((int ring, ushort flushTag) in flight.Flushes ?? [])
        {
            sink.Send(ring, new MessageWriter(message, MessageType.Flush, flushTag).Finish());
            End(flushTag);
        }
    }

    private readonly record struct Flight(Action? Cancel, (int Ring, ushort Tag)[]? Flushes);
}
