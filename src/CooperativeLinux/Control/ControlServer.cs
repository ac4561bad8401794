using System.IO.Pipes;

namespace CooperativeLinux.Control;

/// <summary>Lets other processes of the machine's owner control it (<see cref="ControlClient"/>).</summary>
internal sealed class ControlServer : IAsyncDisposable
{
    /// <summary>How long those that wait for the machine's end may take to hear of it.</summary>
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(2);

    private readonly string _path;
    private readonly Machine _machine;
    private readonly MachineControl _control;
    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _gate = new();
    private readonly HashSet<Task> _connections = [];
    private NamedPipeServerStream _next;
    private Task _accepting = Task.CompletedTask;

    /// <param name="path">See <see cref="MachineOptions.ControlPath"/>.</param>
    /// <param name="machine">The machine.</param>
    /// <param name="control">What its owner may do.</param>
    /// <exception cref="MachineStartException">There cannot be connections.</exception>
    public ControlServer(string path, Machine machine, MachineControl control)
    {
        _path = path;
        _machine = machine;
        _control = control;
        try
        {
            _next = ControlEndpoint.Listen(path);
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or System.Net.Sockets.SocketException)
        {
            throw new MachineStartException(MachineStartFailure.Host, $"cannot make the machine's control socket: {error.Message}", error);
        }
    }

    /// <summary>Begins to take connections.</summary>
    public void Start() => _accepting = AcceptAsync();

    public async ValueTask DisposeAsync()
    {
        Task[] connections;
        lock (_gate)
        {
            connections = [.. _connections];
        }

        await Task.WhenAny(Task.WhenAll(connections), Task.Delay(Farewell)).ConfigureAwait(false);
        await _closing.CancelAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
        await _next.DisposeAsync().ConfigureAwait(false);
        if (!OperatingSystem.IsWindows())
        {
            File.Delete(_path);
        }

        _closing.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                await _next.WaitForConnectionAsync(_closing.Token).ConfigureAwait(false);
                Begin(_next);
                _next = ControlEndpoint.Listen(_path);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or IOException)
        {
            // The machine has ended, or the host gives no more connections.
        }
    }

    private void Begin(NamedPipeServerStream stream)
    {
        Task serving = Task.Run(() => new ControlConnection(stream, _machine, _control).ServeAsync(_closing.Token));
        lock (_gate)
        {
            _connections.Add(serving);
        }

        serving.ContinueWith(
            task =>
            {
                lock (_gate)
                {
                    _connections.Remove(task);
                }
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }
}
