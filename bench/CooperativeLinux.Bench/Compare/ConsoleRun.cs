using System.Diagnostics;

namespace CooperativeLinux.Bench.Compare;

/// <summary>A line that a program wrote.</summary>
/// <param name="Time">When its end was read, since the program was started.</param>
/// <param name="Text">Without line end.</param>
internal readonly record struct ConsoleLine(TimeSpan Time, string Text);

/// <summary>Runs a program to its end and keeps what it writes, with the time of each line.</summary>
internal sealed class ConsoleRun
{
    private readonly List<ConsoleLine> _lines = [];

    /// <summary>Lines of standard output, carriage returns taken off.</summary>
    public IReadOnlyList<ConsoleLine> Lines => _lines;

    /// <summary>What came on standard error.</summary>
    public string Errors { get; private set; } = "";

    public int ExitCode { get; private set; }

    /// <summary>Whether the program was ended because it took too long.</summary>
    public bool TimedOut { get; private set; }

    public TimeSpan Duration { get; private set; }

    /// <param name="command">Program and arguments.</param>
    /// <param name="timeout">When to end it.</param>
    /// <param name="onLine">Called with the process for each line, before the next is read; or null.</param>
    /// <exception cref="BenchException">It cannot be started.</exception>
    public static async Task<ConsoleRun> RunAsync(IReadOnlyList<string> command, TimeSpan timeout, Action<Process, ConsoleLine>? onLine = null)
    {
        ConsoleRun run = new();
        ProcessStartInfo start = new(command[0], command.Skip(1))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Stopwatch clock = Stopwatch.StartNew();
        using Process process = Start(start);
        using CancellationTokenSource late = new(timeout);
        using CancellationTokenRegistration kill = late.Token.Register(() => process.Kill(entireProcessTree: true));
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        while (await process.StandardOutput.ReadLineAsync(CancellationToken.None).ConfigureAwait(false) is string text)
        {
            ConsoleLine line = new(clock.Elapsed, text.TrimEnd('\r'));
            run._lines.Add(line);
            onLine?.Invoke(process, line);
        }

        await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        run.Duration = clock.Elapsed;
        run.Errors = await errors.ConfigureAwait(false);
        run.ExitCode = process.ExitCode;
        run.TimedOut = late.IsCancellationRequested;
        return run;
    }

    /// <summary>The last lines, for a message about a failure.</summary>
    public string Tail()
    {
        IEnumerable<string> text = _lines.Select(line => line.Text).Concat(Errors.Split('\n')).Where(line => line.Trim().Length > 0);
        return string.Join('\n', text.TakeLast(12).Select(line => "    " + line.TrimEnd()));
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            throw new BenchException($"cannot run {start.FileName}: {error.Message}");
        }
    }
}
