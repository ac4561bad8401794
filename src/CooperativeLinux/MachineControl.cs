using System.Globalization;
using CooperativeLinux.Configuration;
using CooperativeLinux.Monitor.Store;

namespace CooperativeLinux;

/// <summary>
/// What the owner does to a running machine, over all its restarts: end, shut down, restart, send system requests, change
/// memory and clock. Any thread.
/// </summary>
internal sealed class MachineControl : IDisposable
{
    private readonly TimeSpan _stopTimeout;
    private readonly Lock _gate = new();
    private MachineRun? _run;
    private Timer? _timer;
    private bool _isEnding;

    /// <param name="stopTimeout">What <see cref="End"/> gives the guest; zero or less: nothing.</param>
    public MachineControl(TimeSpan stopTimeout)
    {
        _stopTimeout = stopTimeout;
    }

    /// <summary>Told what the owner should know, one line without the program's name.</summary>
    public event Action<string>? Notice;

    /// <summary>Whether the machine is to end: a restart the guest asks for is then its end.</summary>
    public bool IsEnding
    {
        get
        {
            lock (_gate)
            {
                return _isEnding;
            }
        }
    }

    /// <summary>Takes the run that just started.</summary>
    public void Connect(MachineRun run)
    {
        bool isLate;
        lock (_gate)
        {
            _run = run;
            isLate = _isEnding;
        }

        if (isLate)
        {
            run.Domain.Stop();
        }
    }

    /// <summary>Lets the run go; it is about to be disposed.</summary>
    public void Disconnect()
    {
        lock (_gate)
        {
            _run = null;
            _timer?.Dispose();
            _timer = null;
        }
    }

    /// <summary>Switches off at once.</summary>
    public void Quit()
    {
        lock (_gate)
        {
            _isEnding = true;
            _run?.Domain.Stop();
        }
    }

    /// <summary>
    /// Asks the guest to shut down, and switches it off when it has not within the time limit; at once, if it does not follow
    /// such requests (its kernel has only started, or is another one).
    /// </summary>
    /// <param name="patience">A time limit in place of the usual one.</param>
    public void End(TimeSpan? patience = null)
    {
        TimeSpan limit = patience ?? _stopTimeout;
        lock (_gate)
        {
            _isEnding = true;
            if (_run is null)
            {
                return;
            }

            if (limit <= TimeSpan.Zero || !_run.Control.IsShutdownSupported)
            {
                _run.Domain.Stop();
                return;
            }

            _run.Control.RequestShutdown(ShutdownRequest.PowerOff);
            _timer?.Dispose();
            _timer = new Timer(_ => OnTimeout(limit), null, limit, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Does what a user chose with the escape key.</summary>
    /// <returns>What to tell the user, on one line, or null.</returns>
    public string? Execute(EscapeCommand command, string argument)
    {
        lock (_gate)
        {
            if (command == EscapeCommand.Quit)
            {
                Quit();
                return null;
            }

            if (_run is not { } run)
            {
                return "the machine is between two runs; try again";
            }

            return command switch
            {
                EscapeCommand.ShutDown => Request(run, ShutdownRequest.PowerOff, "shutting down; Ctrl-] q switches off at once"),
                EscapeCommand.Reboot => Request(run, ShutdownRequest.Reboot, "restarting; Ctrl-] q switches off at once"),
                EscapeCommand.Clock => Request(run, ShutdownRequest.Suspend, "setting the guest's clock"),
                EscapeCommand.SysRq => SendSysRq(run, argument),
                EscapeCommand.Memory => SetMemory(run, argument),
                _ => null,
            };
        }
    }

    public void Dispose() => Disconnect();

    private static string Request(MachineRun run, ShutdownRequest request, string answer)
    {
        if (!run.Control.IsShutdownSupported)
        {
            return "the guest does not follow requests (yet); Ctrl-] q switches it off";
        }

        run.Control.RequestShutdown(request);
        return answer;
    }

    private static string? SendSysRq(MachineRun run, string key)
    {
        if (key.Length != 1 || !DomainControl.IsSysRqKey(key[0]))
        {
            return "a system request is a digit or a letter; h lists them";
        }

        run.Control.SendSysRq(key[0]);
        return null;
    }

    private static string SetMemory(MachineRun run, string text)
    {
        ulong maximum = run.Control.MemoryMaximumKiB << 10;
        if (!MemorySize.TryParse(text, out long bytes, out string reason))
        {
            return $"'{text}': {reason}";
        }

        if ((ulong)bytes > maximum)
        {
            return $"this machine has at most {MemorySize.Format((long)maximum)}";
        }

        run.Balancer.SetCeiling(bytes);
        return string.Create(CultureInfo.InvariantCulture, $"the guest may use {MemorySize.Format(bytes)} from now on");
    }

    private void OnTimeout(TimeSpan limit)
    {
        lock (_gate)
        {
            if (_run is null || _timer is null)
            {
                return;
            }

            _run.Domain.Stop();
        }

        Notice?.Invoke(string.Create(
            CultureInfo.InvariantCulture, $"the guest did not shut down within {limit.TotalSeconds:0.###} s and was switched off"));
    }
}
