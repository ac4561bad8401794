using System.Globalization;
using System.IO.Pipes;
using System.Text;
using CooperativeLinux.Commands;
using CooperativeLinux.Host.Terminals;

namespace CooperativeLinux.Control;

/// <summary>Controls a machine that runs in another process of the same user. Each connection is for one request.</summary>
public sealed class ControlClient : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly NamedPipeClientStream _stream;

    private ControlClient(NamedPipeClientStream stream)
    {
        _stream = stream;
    }

    /// <summary>Connects to a machine.</summary>
    /// <param name="path">Its <see cref="MachineOptions.ControlPath"/>.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Null if it does not run, or is not to be controlled.</returns>
    /// <exception cref="IOException">The path cannot be one of a machine.</exception>
    /// <exception cref="UnauthorizedAccessException">The machine is another user's.</exception>
    public static async Task<ControlClient?> ConnectAsync(string path, CancellationToken cancellationToken = default) =>
        await ControlEndpoint.ConnectAsync(path, Patience, cancellationToken).ConfigureAwait(false) is { } stream ? new ControlClient(stream) : null;

    /// <summary>The number of the process that has the machine.</summary>
    /// <exception cref="IOException">The machine has ended.</exception>
    public async Task<int> IdentifyAsync(CancellationToken cancellationToken = default)
    {
        await SendAsync(FrameKind.Identify, "", cancellationToken).ConfigureAwait(false);
        (_, byte[] content) = await ReceiveAsync(cancellationToken).ConfigureAwait(false);
        return int.TryParse(Encoding.ASCII.GetString(content), NumberStyles.None, CultureInfo.InvariantCulture, out int process)
            ? process
            : throw new IOException("the machine gave an answer that makes no sense");
    }

    /// <summary>Asks the guest to shut down, and waits until the machine has ended.</summary>
    /// <param name="patience">After this it is switched off; null: as the machine was started with.</param>
    /// <param name="tell">Told what the user should know.</param>
    /// <param name="cancellationToken">Ends the waiting, not the shutdown.</param>
    public async Task ShutDownAsync(TimeSpan? patience, Action<string> tell, CancellationToken cancellationToken = default)
    {
        string limit = patience is TimeSpan time ? time.TotalSeconds.ToString(CultureInfo.InvariantCulture) : "";
        await SendAsync(FrameKind.ShutDown, limit, cancellationToken).ConfigureAwait(false);
        await WaitForEndAsync(tell, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Switches the machine off, and waits until it has ended.</summary>
    /// <param name="cancellationToken">Ends the waiting.</param>
    public async Task KillAsync(CancellationToken cancellationToken = default)
    {
        await SendAsync(FrameKind.Kill, "", cancellationToken).ConfigureAwait(false);
        await WaitForEndAsync(_ => { }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Runs a program in the guest.</summary>
    /// <param name="command">The program and its arguments; folder and environment are not passed on.</param>
    /// <param name="output">Receives its standard output.</param>
    /// <param name="errors">Receives its standard error.</param>
    /// <param name="cancellationToken">Kills it.</param>
    /// <returns>Its exit status.</returns>
    /// <exception cref="IOException">It could not be run to its end; the message says why.</exception>
    public async Task<int> RunAsync(GuestCommand command, Stream output, Stream errors, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(errors);
        _ = command.ToScript();
        await SendAsync(FrameKind.Execute, string.Join('\0', command.Arguments.Prepend(command.Program)), cancellationToken).ConfigureAwait(false);
        while (true)
        {
            (FrameKind kind, byte[] content) = await ReceiveAsync(cancellationToken).ConfigureAwait(false);
            switch (kind)
            {
                case FrameKind.Output or FrameKind.Errors:
                    Stream stream = kind == FrameKind.Output ? output : errors;
                    await stream.WriteAsync(content, cancellationToken).ConfigureAwait(false);
                    await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
                    break;
                case FrameKind.Exit:
                    return int.Parse(Encoding.ASCII.GetString(content), CultureInfo.InvariantCulture);
            }
        }
    }

    /// <summary>Makes the terminal (or the pipes) of this process the machine's console, beside others.</summary>
    /// <param name="cancellationToken">Leaves the machine.</param>
    /// <returns>Whether the machine has ended; otherwise it goes on.</returns>
    public async Task<bool> AttachAsync(CancellationToken cancellationToken = default)
    {
        await SendAsync(FrameKind.Attach, "", cancellationToken).ConfigureAwait(false);
        using ITerminal terminal = Terminal.Open();
        using CancellationTokenSource leaving = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        bool isRaw = terminal.EnterRawMode();
        if (isRaw)
        {
            _ = terminal.Write("\r\ncolinux: Ctrl-] d leaves the machine, Ctrl-] ? shows more\r\n"u8);
        }

        _ = Task.Run(() => TerminalInput.PassAsync(terminal, isRaw, new RemoteTarget(this, leaving), leaving.Token), CancellationToken.None);
        try
        {
            while (true)
            {
                (FrameKind kind, byte[] content) = await ReceiveAsync(leaving.Token).ConfigureAwait(false);
                byte[] shown = kind == FrameKind.Text ? Encoding.UTF8.GetBytes($"\r\ncolinux: {Encoding.UTF8.GetString(content)}\r\n") : content;
                _ = terminal.Write(shown);
            }
        }
        catch (OperationCanceledException) when (leaving.IsCancellationRequested)
        {
            if (isRaw)
            {
                _ = terminal.Write("\r\n"u8);
            }

            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    private async Task WaitForEndAsync(Action<string> tell, CancellationToken cancellationToken)
    {
        try
        {
            (FrameKind Kind, byte[] Content) frame;
            while ((frame = await ReceiveAsync(cancellationToken).ConfigureAwait(false)).Kind != FrameKind.Exit)
            {
                tell(Encoding.UTF8.GetString(frame.Content));
            }
        }
        catch (IOException)
        {
            // The process has gone before it could say so.
        }
    }

    private async Task SendAsync(FrameKind kind, string content, CancellationToken cancellationToken) =>
        await _stream.WriteAsync(ControlFrame.Create(kind, Encoding.UTF8.GetBytes(content)), cancellationToken).ConfigureAwait(false);

    private async Task<(FrameKind Kind, byte[] Content)> ReceiveAsync(CancellationToken cancellationToken)
    {
        (FrameKind Kind, byte[] Content) frame = await ControlFrame.ReadAsync(_stream, cancellationToken).ConfigureAwait(false) ?? throw new IOException("the machine has ended");
        return frame.Kind == FrameKind.Failure ? throw new IOException(Encoding.UTF8.GetString(frame.Content)) : frame;
    }

    /// <summary>The machine behind the connection, as what an attached terminal types to.</summary>
    private sealed class RemoteTarget(ControlClient client, CancellationTokenSource leaving) : ITerminalTarget
    {
        public bool CanDetach => true;

        public async Task SendAsync(ReadOnlyMemory<byte> input, CancellationToken cancellationToken)
        {
            if (!input.IsEmpty)
            {
                await client._stream.WriteAsync(ControlFrame.Create(FrameKind.Input, input.Span), cancellationToken).ConfigureAwait(false);
            }
        }

        public Task ExecuteAsync(EscapeCommand command, string argument, CancellationToken cancellationToken) => command == EscapeCommand.Detach
            ? leaving.CancelAsync()
            : client.SendAsync(FrameKind.Menu, $"{command} {argument}", cancellationToken);
    }
}
