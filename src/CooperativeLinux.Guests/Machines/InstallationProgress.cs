using System.Text;
using CooperativeLinux.Guests.Images;

namespace CooperativeLinux.Guests.Machines;

/// <summary>
/// Follows an installation on the guest's console: reports how far it is, keeps all in a log, and knows in the end whether it
/// succeeded. A stream to write the console's output to.
/// </summary>
public sealed class InstallationProgress : Stream
{
    /// <summary>What a line of the script begins with when the installation cannot go on; the reason follows.</summary>
    public const string FailurePrefix = "colinux: failed: ";

    private const string StepPrefix = "colinux: step ";
    private const int MaxLine = 4096, LastLines = 5;

    private readonly Stream _log;
    private readonly IProgress<GuestProgress>? _progress;
    private readonly double _total;
    private readonly StringBuilder _line = new();
    private readonly Queue<string> _last = new();
    private int _done;
    private string _step = "Starting the installation";

    /// <param name="installation">What is installed.</param>
    /// <param name="log">Receives all output; not closed.</param>
    /// <param name="progress">Told how far it is, or null.</param>
    public InstallationProgress(DebianRootInstallation installation, Stream log, IProgress<GuestProgress>? progress)
    {
        ArgumentNullException.ThrowIfNull(installation);
        _log = log;
        _progress = progress;

        // dpkg tells of each package when it unpacks it and when it sets it up; the essential ones are unpacked twice.
        _total = Math.Max(1, (2 * installation.PackageCount) + installation.EssentialCount);
    }

    /// <summary>Whether the installation came to its end without an error.</summary>
    public bool HasSucceeded { get; private set; }

    /// <summary>Why it failed, on one line, as far as the guest said.</summary>
    public string Failure { get; private set; } = "";

    /// <summary>The last lines of output that are not our own.</summary>
    public IReadOnlyCollection<string> LastOutput => _last;

    /// <inheritdoc/>
    public override bool CanRead => false;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        _log.Write(buffer);
        foreach (char c in Encoding.Latin1.GetString(buffer))
        {
            if (c == '\n')
            {
                TakeLine(_line.ToString());
                _line.Clear();
            }
            else if (c != '\r' && _line.Length < MaxLine)
            {
                _line.Append(c);
            }
        }
    }

    /// <inheritdoc/>
    public override void Flush() => _log.Flush();

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    private void TakeLine(string line)
    {
        if (line.StartsWith(StepPrefix, StringComparison.Ordinal))
        {
            _step = line[StepPrefix.Length..];
        }
        else if (line.StartsWith(FailurePrefix, StringComparison.Ordinal))
        {
            Failure = line[FailurePrefix.Length..];
        }
        else if (line.StartsWith(GuestScript.ExitPrefix, StringComparison.Ordinal))
        {
            HasSucceeded = line == GuestScript.ExitPrefix + "0";
        }
        else if (line.StartsWith("Unpacking ", StringComparison.Ordinal) || line.StartsWith("Setting up ", StringComparison.Ordinal))
        {
            _done++;
        }

        if (line.Length > 0 && !line.StartsWith("colinux:", StringComparison.Ordinal))
        {
            _last.Enqueue(line);
            if (_last.Count > LastLines)
            {
                _last.Dequeue();
            }
        }

        _progress?.Report(new GuestProgress(_step, Math.Min(1, _done / _total)));
    }
}
