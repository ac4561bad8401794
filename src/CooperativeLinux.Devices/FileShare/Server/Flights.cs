using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>The requests that have no answer yet, so that one can be flushed: the flush is answered after the request. Any thread.</summary>
internal sealed class Flights(IAnswerSink sink)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ushort, Flight> _flights = [];

    /// <summary>Notes a request.</summary>
    /// <returns>Null if the tag is in use, which the protocol forbids.</returns>
    public Flight? TryBegin(int ring, ushort tag)
    {
        lock (_gate)
        {
            // A guest that has seen an answer uses its tag again, perhaps before the thread that sent it comes to the end.
            if (_flights.TryGetValue(tag, out Flight? present) && !present.IsAnswered)
            {
                return null;
            }

            return _flights[tag] = new Flight(ring, tag);
        }
    }

    /// <summary>Sets what stops a request that waits.</summary>
    /// <returns>False if it has been flushed already.</returns>
    public bool TrySetCancel(Flight flight, Action cancel)
    {
        lock (_gate)
        {
            flight.Cancel = cancel;
            return flight.Flushes is null;
        }
    }

    /// <summary>Has a flush wait for the request with a tag.</summary>
    /// <returns>False if there is no such request; then answer the flush at once.</returns>
    public bool TryFlush(ushort tag, Flight flush)
    {
        Action? cancel;
        lock (_gate)
        {
            if (tag == flush.Tag || !_flights.TryGetValue(tag, out Flight? flight))
            {
                return false;
            }

            (flight.Flushes ??= []).Add(flush);
            cancel = flight.Cancel;
        }

        cancel?.Invoke();
        return true;
    }

    /// <summary>Sends a request's answer, and then those of the flushes that wait for it.</summary>
    public void Answer(Flight flight, ReadOnlySpan<byte> message)
    {
        Queue<Flight> flushes = new();
        Answer(flight, message, flushes);
        Span<byte> buffer = stackalloc byte[MessageWriter.HeaderSize];

        // Not by recursion: a guest may flush flushes as often as there are tags.
        while (flushes.TryDequeue(out Flight? flush))
        {
            Answer(flush, new MessageWriter(buffer, MessageType.Flush, flush.Tag).Finish(), flushes);
        }
    }

    private void Answer(Flight flight, ReadOnlySpan<byte> message, Queue<Flight> flushes)
    {
        lock (_gate)
        {
            flight.IsAnswered = true;
            flight.Cancel = null;
        }

        sink.Send(flight.Ring, message);
        lock (_gate)
        {
            flight.Flushes?.ForEach(flushes.Enqueue);
            if (_flights.TryGetValue(flight.Tag, out Flight? present) && present == flight)
            {
                _flights.Remove(flight.Tag);
            }
        }
    }
}

/// <summary>A request on its way.</summary>
/// <param name="ring">Ring it came by.</param>
/// <param name="tag">Its tag.</param>
internal sealed class Flight(int ring, ushort tag)
{
    public int Ring => ring;

    public ushort Tag => tag;

    /// <summary>Stops it while it waits; under the lock of <see cref="Flights"/>, as the rest.</summary>
    public Action? Cancel { get; set; }

    /// <summary>Flushes that are answered after it.</summary>
    public List<Flight>? Flushes { get; set; }

    /// <summary>Whether the guest may have the answer.</summary>
    public bool IsAnswered { get; set; }
}
