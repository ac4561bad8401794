using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>A request and its answer in the making.</summary>
internal ref struct Exchange
{
    public Flight Flight;

    /// <summary>The request's fields.</summary>
    public MessageReader Fields;

    public MessageWriter Answer;

    /// <summary>Whether the answer will come later, by other means.</summary>
    public bool IsDeferred;
}

/// <summary>Takes answers to the guest.</summary>
internal interface IAnswerSink
{
    /// <summary>Sends a complete message; may wait for room. Any thread.</summary>
    /// <param name="ring">Ring the request came by.</param>
    /// <param name="message">The message.</param>
    void Send(int ring, ReadOnlySpan<byte> message);
}
