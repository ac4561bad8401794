using System.Text;

namespace CooperativeLinux.Commands;

/// <summary>
/// Takes what one command says out of a console's stream: the agent puts <c>TOKEN begin</c> before it and <c>TOKEN end STATUS</c>
/// behind it. The token is random, so no command says it by chance. One thread.
/// </summary>
/// <param name="token">The command's token.</param>
/// <param name="write">Receives what the command says; only valid during the call.</param>
internal sealed class MarkedOutput(string token, MarkedOutput.Writer write)
{
    private const int MaxStatusLength = 4;

    private readonly byte[] _begin = Encoding.ASCII.GetBytes($"{token} begin\n");
    private readonly byte[] _end = Encoding.ASCII.GetBytes($"{token} end ");
    private readonly List<byte> _held = [];
    private State _state;

    /// <summary>Receives output.</summary>
    internal delegate void Writer(ReadOnlySpan<byte> output);

    private enum State
    {
        Before,
        Inside,
        Status,
        Done,
    }

    /// <summary>The command's exit status once the end has come.</summary>
    public int? Status { get; private set; }

    /// <summary>Takes a piece of the stream.</summary>
    public void Add(ReadOnlySpan<byte> piece)
    {
        byte[] bytes = [.. _held, .. piece];
        _held.Clear();
        ReadOnlySpan<byte> rest = bytes;
        if (_state == State.Before)
        {
            SkipToBegin(ref rest);
        }

        if (_state == State.Inside)
        {
            PassToEnd(ref rest);
        }

        if (_state == State.Status)
        {
            TakeStatus(rest);
        }
    }

    private void SkipToBegin(ref ReadOnlySpan<byte> rest)
    {
        int found = rest.IndexOf(_begin);
        if (found < 0)
        {
            // Something else that was left on the console.
            Hold(rest[^PrefixAtEnd(rest, _begin)..]);
            rest = default;
            return;
        }

        rest = rest[(found + _begin.Length)..];
        _state = State.Inside;
    }

    private void PassToEnd(ref ReadOnlySpan<byte> rest)
    {
        int found = rest.IndexOf(_end);
        int length = found >= 0 ? found : rest.Length - PrefixAtEnd(rest, _end);
        if (length > 0)
        {
            write(rest[..length]);
        }

        if (found < 0)
        {
            Hold(rest[length..]);
            rest = default;
            return;
        }

        rest = rest[(found + _end.Length)..];
        _state = State.Status;
    }

    private void TakeStatus(ReadOnlySpan<byte> rest)
    {
        int end = rest.IndexOf((byte)'\n');
        if (end < 0 && rest.Length < MaxStatusLength)
        {
            Hold(rest);
            return;
        }

        // A guest whose root wrote nonsense here has ended the command all the same.
        Status = end > 0 && byte.TryParse(rest[..end], out byte status) ? status : byte.MaxValue;
        _state = State.Done;
    }

    private void Hold(ReadOnlySpan<byte> bytes) => _held.AddRange(bytes);

    /// <summary>Length of the longest end of the bytes that a marker begins with.</summary>
    private static int PrefixAtEnd(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> marker)
    {
        for (int length = Math.Min(bytes.Length, marker.Length - 1); length > 0; length--)
        {
            if (bytes[^length..].SequenceEqual(marker[..length]))
            {
                return length;
            }
        }

        return 0;
    }
}
