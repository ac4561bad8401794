using System.Diagnostics;
using System.Text;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>The command <c>colinux</c> as a child process, with what it prints and when.</summary>
internal sealed class Colinux : IDisposable
{
    /// <summary>What a boot, or anything short inside a guest, may take on a busy host.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    /// <summary>What the prompt of the default guest's shell ends with.</summary>
    public const string Prompt = "# ";

    private readonly Process _process;
    private readonly Lock _lock = new();
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _errors = new();
    private readonly List<(int Length, long Timestamp)> _arrivals = [];
    private readonly Thread[] _readers;

    private Colinux(ProcessStartInfo start, Func<byte[], int>? readScreen)
    {
        _process = Process.Start(start) ?? throw new InvalidOperationException("no process");
        _readers =
        [
            StartReader(readScreen ?? (buffer => _process.StandardOutput.BaseStream.Read(buffer)), _output),
            StartReader(buffer => _process.StandardError.BaseStream.Read(buffer), _errors),
        ];
    }

    /// <summary>The built command.</summary>
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "colinux.exe" : "colinux");

    /// <summary>The command's Windows build, if it is to be tested.</summary>
    public static string? WindowsPath { get; } = Environment.GetEnvironmentVariable("COLINUX_TEST_WINDOWS");

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>Whether standard output has come to its end: no process has it any more.</summary>
    public bool HasOutputEnded => !_readers[0].IsAlive;

    /// <summary>CPU time of all threads so far.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>What came on standard output (or the terminal) so far, with line feeds only.</summary>
    public string Output => WithLineFeeds(Text(_output));

    /// <summary>What came on standard error so far.</summary>
    public string Errors => Text(_errors);

    /// <summary>Starts the command with pipes; input stays open until <see cref="CloseInput"/>.</summary>
    public static Colinux Start(params string[] arguments) => new(Prepare(Path, arguments), readScreen: null);

    /// <summary>The same with the Windows build, under Wine.</summary>
    public static Colinux StartWindows(params string[] arguments)
    {
        string root = System.IO.Path.GetFullPath("../../../../..", AppContext.BaseDirectory);
        return new Colinux(Prepare(System.IO.Path.Combine(root, "tests", "windows"), ["exec", WindowsPath!, .. arguments]), readScreen: null);
    }

    /// <summary>What Wine calls a file of this side.</summary>
    public static string WinePath(string path) => "Z:" + path.Replace('/', '\\');

    /// <summary>The same, in a folder.</summary>
    public static Colinux StartIn(string folder, params string[] arguments)
    {
        ProcessStartInfo start = Prepare(Path, arguments);
        start.WorkingDirectory = folder;
        return new Colinux(start, readScreen: null);
    }

    /// <summary>Starts the command on a terminal of its own, in a session of its own.</summary>
    public static Colinux StartOn(Terminal terminal, params string[] arguments) => StartOnIn(terminal, Environment.CurrentDirectory, arguments);

    /// <summary>The same, in a folder.</summary>
    public static Colinux StartOnIn(Terminal terminal, string folder, params string[] arguments)
    {
        string[] all = ["-c", "exec setsid -c \"$@\" <> \"$0\" >&0", terminal.Path, Path, .. arguments];
        ProcessStartInfo start = Prepare("/bin/sh", all);
        start.WorkingDirectory = folder;
        return new Colinux(start, terminal.Read);
    }

    /// <summary>Runs the command to its end without input.</summary>
    public static (int ExitCode, string Output, string Errors) Run(params string[] arguments) => RunToEnd(Start(arguments));

    /// <summary>The same with the Windows build, under Wine.</summary>
    public static (int ExitCode, string Output, string Errors) RunWindows(params string[] arguments) => RunToEnd(StartWindows(arguments));

    public void Type(string text)
    {
        _process.StandardInput.BaseStream.Write(Encoding.UTF8.GetBytes(text));
        _process.StandardInput.BaseStream.Flush();
    }

    public void CloseInput() => _process.StandardInput.Close();

    /// <summary>Sends a signal.</summary>
    public void Signal(string name)
    {
        using Process kill = Process.Start("/bin/kill", ["-s", name, $"{Id}"]);
        kill.WaitForExit();
    }

    /// <summary>Waits until the text has come, at or after a position of <see cref="Output"/>.</summary>
    /// <returns>The position after it, and when its last byte was there (<see cref="Stopwatch"/> ticks).</returns>
    public (int End, long Timestamp) WaitFor(string text, int from = 0, TimeSpan? limit = null)
    {
        TimeSpan patience = limit ?? Patience;
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            bool ended = _process.HasExited && _readers.All(reader => !reader.IsAlive);
            string raw = Text(_output);
            string output = WithLineFeeds(raw);
            int found = output.IndexOf(text, Math.Min(from, output.Length), StringComparison.Ordinal);
            if (found >= 0)
            {
                int end = found + text.Length;
                int rawEnd = RawLength(raw, end);
                lock (_lock)
                {
                    return (end, _arrivals.First(arrival => arrival.Length >= rawEnd).Timestamp);
                }
            }

            Assert.False(ended, $"ended without '{text}':\n{Output}\n{Errors}");
            Assert.True(Stopwatch.GetElapsedTime(start) < patience, $"no '{text}' in time:\n{Output}\n{Errors}");
            Thread.Sleep(5);
        }
    }

    /// <summary>Waits for the end of the process and of its output.</summary>
    /// <returns>The exit code.</returns>
    public int WaitForExit(TimeSpan? limit = null)
    {
        bool ended = _process.WaitForExit(limit ?? Patience);
        Assert.True(ended, $"does not end:\n{Output}\n{Errors}");
        foreach (Thread reader in _readers)
        {
            // A terminal's output has no end of its own; it is there when the process has ended.
            reader.Join(TimeSpan.FromSeconds(2));
        }

        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    private static (int ExitCode, string Output, string Errors) RunToEnd(Colinux colinux)
    {
        using (colinux)
        {
            colinux.CloseInput();
            return (colinux.WaitForExit(), colinux.Output, colinux.Errors);
        }
    }

    // Every block that any guest of the tests runs is verified.
    private static ProcessStartInfo Prepare(string file, string[] arguments)
    {
        int run = Array.IndexOf(arguments, "run");
        if (run >= 0)
        {
            arguments = [.. arguments[..(run + 1)], "--verify", .. arguments[(run + 1)..]];
        }

        ProcessStartInfo start = new(file, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["TERM"] = "vt100";
        return start;
    }

    private static string WithLineFeeds(string raw) => raw.Replace("\r\n", "\n", StringComparison.Ordinal);

    /// <summary>How much of the output makes that many characters of it with line feeds only.</summary>
    private static int RawLength(string raw, int length)
    {
        int position = 0;
        for (; length > 0; length--)
        {
            position += raw.AsSpan(position).StartsWith("\r\n") ? 2 : 1;
        }

        return position;
    }

    private string Text(StringBuilder builder)
    {
        lock (_lock)
        {
            return builder.ToString();
        }
    }

    private Thread StartReader(Func<byte[], int> read, StringBuilder target)
    {
        Thread thread = new(() =>
        {
            byte[] buffer = new byte[1 << 16];
            Decoder decoder = Encoding.UTF8.GetDecoder();
            char[] characters = new char[buffer.Length + 4];
            int length;
            while ((length = read(buffer)) > 0)
            {
                long now = Stopwatch.GetTimestamp();
                int count = decoder.GetChars(buffer.AsSpan(0, length), characters, flush: false);
                lock (_lock)
                {
                    target.Append(characters, 0, count);
                    if (target == _output)
                    {
                        _arrivals.Add((target.Length, now));
                    }
                }
            }
        })
        { IsBackground = true };
        thread.Start();
        return thread;
    }
}
