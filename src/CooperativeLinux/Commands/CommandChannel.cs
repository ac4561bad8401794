using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Devices.Xenbus;

namespace CooperativeLinux.Commands;

/// <summary>
/// Runs commands in the guest, over all its restarts: the host's side of the agent (<c>agent.sh</c>), which listens on the guest's
/// second console and has the third for errors. One command at a time; others wait. Any thread.
/// </summary>
internal sealed class CommandChannel
{
    private const int RequestConsole = 1, ErrorConsole = 2;
    private const int TokenBytes = 16;

    /// <summary>How long a command that was killed may take to end before it is given up.</summary>
    private static readonly TimeSpan KillPatience = TimeSpan.FromSeconds(10);

    private static readonly byte[] _readyLine = "colinux: ready\n"u8.ToArray();

    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly Lock _gate = new();
    private TaskCompletionSource<SecondaryConsole> _ready = NewSource();
    private CommandExecution? _current;
    private bool _isClosed;

    /// <summary>Makes the consoles of a guest that is about to start.</summary>
    public IEnumerable<BackendDevice> CreateDevices(DeviceContext context)
    {
        Agent agent = new(this);
        SecondaryConsole requests = new(context, RequestConsole, agent.Output);
        SecondaryConsole errors = new(context, ErrorConsole, agent.Errors);
        agent.Console = requests;
        lock (_gate)
        {
            _current?.Abandon("the guest restarted");
            if (_ready.Task.IsCompleted && !_isClosed)
            {
                _ready = NewSource();
            }
        }

        return [requests, errors];
    }

    /// <summary>Runs a command to its end.</summary>
    /// <param name="command">The command.</param>
    /// <param name="write">Receives what it says: whether it is standard error, and the bytes.</param>
    /// <param name="cancellationToken">Kills it.</param>
    /// <returns>Its exit status.</returns>
    /// <exception cref="TimeoutException">The guest takes no commands.</exception>
    /// <exception cref="IOException">The guest restarted or ended meanwhile, or nobody took what the command said.</exception>
    public async Task<int> ExecuteAsync(GuestCommand command, Func<bool, ReadOnlyMemory<byte>, ValueTask> write, CancellationToken cancellationToken)
    {
        byte[] script = command.ToScript();
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            SecondaryConsole console = await WaitForAgentAsync(command.Patience, cancellationToken).ConfigureAwait(false);
            CommandExecution execution = new(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(TokenBytes)));
            lock (_gate)
            {
                if (_isClosed)
                {
                    throw new IOException("the machine has ended");
                }

                _current = execution;
            }

            await console.SendAsync(Line($"run {execution.Token} {Convert.ToBase64String(script)}"), cancellationToken).ConfigureAwait(false);
            return await FollowAsync(execution, console, write, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
            {
                _current = null;
            }

            _turn.Release();
        }
    }

    /// <summary>The machine has ended.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
            _current?.Abandon("the machine has ended");
            _ready.TrySetException(new IOException("the machine has ended"));

            // Nobody may be waiting.
            _ = _ready.Task.Exception;
        }
    }

    private static TaskCompletionSource<SecondaryConsole> NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static byte[] Line(string text) => Encoding.ASCII.GetBytes(text + "\n");

    private async Task<SecondaryConsole> WaitForAgentAsync(TimeSpan patience, CancellationToken cancellationToken)
    {
        Task<SecondaryConsole> ready;
        lock (_gate)
        {
            ready = _ready.Task;
        }

        try
        {
            return await ready.WaitAsync(patience, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"the guest takes no commands: its agent has not started within {patience.TotalSeconds:0} s");
        }
    }

    private static async Task<int> FollowAsync(
        CommandExecution execution, SecondaryConsole console, Func<bool, ReadOnlyMemory<byte>, ValueTask> write, CancellationToken cancellationToken)
    {
        Exception? failure = null;
        try
        {
            return await execution.ReadAsync(write, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            failure = error;
            throw;
        }
        finally
        {
            if (failure is not null)
            {
                // What nobody waits for any more must not be in the way of the next one.
                await KillAsync(execution, console).ConfigureAwait(false);
            }
        }
    }

    private static async Task KillAsync(CommandExecution execution, SecondaryConsole console)
    {
        using CancellationTokenSource limit = new(KillPatience);
        try
        {
            await console.SendAsync(Line($"kill {execution.Token}"), limit.Token).ConfigureAwait(false);
            await execution.ReadAsync((_, _) => ValueTask.CompletedTask, limit.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
            // The guest is gone, or does not do what it is told.
        }
    }

    private void OnReady(SecondaryConsole console)
    {
        lock (_gate)
        {
            _ready.TrySetResult(console);
        }
    }

    /// <summary>What comes from the agent of one boot.</summary>
    private sealed class Agent
    {
        private readonly CommandChannel _channel;
        private readonly List<byte> _beginning = [];
        private bool _isReady;

        public Agent(CommandChannel channel)
        {
            _channel = channel;
            Output = new Sink(this, isError: false);
            Errors = new Sink(this, isError: true);
        }

        public IConsoleSink Output { get; }

        public IConsoleSink Errors { get; }

        public SecondaryConsole? Console { private get; set; }

        private void Take(bool isError, ReadOnlySpan<byte> output)
        {
            if (!_isReady && !isError)
            {
                // Whatever else writes there before is no agent.
                _beginning.AddRange(output);
                _isReady = _beginning.ToArray().AsSpan().IndexOf(_readyLine) >= 0;
                if (_isReady)
                {
                    _channel.OnReady(Console!);
                }
                else if (_beginning.Count > _readyLine.Length)
                {
                    _beginning.RemoveRange(0, _beginning.Count - _readyLine.Length);
                }

                return;
            }

            CommandExecution? current;
            lock (_channel._gate)
            {
                current = _channel._current;
            }

            current?.Add(isError, output);
        }

        private sealed class Sink(Agent agent, bool isError) : IConsoleSink
        {
            public void Write(ReadOnlySpan<byte> output) => agent.Take(isError, output);
        }
    }
}
