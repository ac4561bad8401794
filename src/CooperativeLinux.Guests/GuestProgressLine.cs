namespace CooperativeLinux.Guests;

/// <summary>
/// Shows progress as one line that is written over and over. Give it a terminal; for anything else
/// <see cref="ForStandardError"/> returns null, so that logs and pipes stay quiet.
/// </summary>
public sealed class GuestProgressLine : IProgress<GuestProgress>, IDisposable
{
    private const int MaximumWidth = 78;
    private const string EraseLine = "\r\e[K";

    private readonly TextWriter _writer;
    private readonly Lock _lock = new();
    private string _shown = "";

    /// <summary>Creates a line on <paramref name="writer"/>, which must understand terminal escapes.</summary>
    public GuestProgressLine(TextWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        _writer = writer;
    }

    /// <summary>
    /// The progress line on standard error, or null if standard error is not a terminal, or one of Windows, which takes escapes only
    /// when told to.
    /// </summary>
    public static GuestProgressLine? ForStandardError()
    {
        return Console.IsErrorRedirected || OperatingSystem.IsWindows() ? null : new GuestProgressLine(Console.Error);
    }

    /// <inheritdoc/>
    public void Report(GuestProgress value)
    {
        string text = value.Fraction is double fraction
            ? $"{value.Activity} {Math.Clamp((int)(fraction * 100), 0, 100)} %"
            : $"{value.Activity} ...";
        if (text.Length > MaximumWidth)
        {
            text = text[..MaximumWidth];
        }

        lock (_lock)
        {
            if (text == _shown)
            {
                return;
            }

            _writer.Write(EraseLine + text);
            _writer.Flush();
            _shown = text;
        }
    }

    /// <summary>Erases the line.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_shown.Length > 0)
            {
                _writer.Write(EraseLine);
                _writer.Flush();
                _shown = "";
            }
        }
    }
}
