using System.Globalization;
using System.IO.Pipes;
using System.Text;
using CooperativeLinux.Commands;
using CooperativeLinux.Devices.Console;

namespace CooperativeLinux.Control;

/// <summary>The machine's side of one control connection: reads the request and does it.</summary>
internal sealed class ControlConnection(PipeStream stream, Machine machine, MachineControl control) : IConsoleSink
{
    private readonly SemaphoreSlim _writing = new(1, 1);
    private volatile bool _isBroken;

    /// <summary>Serves the connection to its end.</summary>
    public async Task ServeAsync(CancellationToken closing)
    {
        try
        {
            if (await ControlFrame.ReadAsync(stream, closing).ConfigureAwait(false) is (FrameKind kind, byte[] content))
            {
                await DoAsync(kind, content, closing).ConfigureAwait(false);
            }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // Whoever asked has gone, or the machine has.
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Console output for an attached terminal; comes from the thread of its own buffer.</summary>
    public void Write(ReadOnlySpan<byte> output)
    {
        if (_isBroken || output.IsEmpty)
        {
            return;
        }

        try
        {
            SendAsync(FrameKind.Output, output.ToArray(), CancellationToken.None).GetAwaiter().GetResult();
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException)
        {
            _isBroken = true;
        }
    }

    private Task DoAsync(FrameKind kind, byte[] content, CancellationToken closing) => kind switch
    {
        FrameKind.Identify => SendTextAsync(FrameKind.Text, Environment.ProcessId.ToString(CultureInfo.InvariantCulture), closing),
        FrameKind.Attach => AttachAsync(closing),
        FrameKind.Execute => ExecuteAsync(Encoding.UTF8.GetString(content).Split('\0'), closing),
        FrameKind.ShutDown => EndAsync(() => control.End(Seconds(content)), closing),
        FrameKind.Kill => EndAsync(control.Quit, closing),
        _ => SendTextAsync(FrameKind.Failure, "the machine does not know this request; is its colinux another version?", closing),
    };

    private static TimeSpan? Seconds(byte[] content) =>
        double.TryParse(Encoding.ASCII.GetString(content), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds) ? TimeSpan.FromSeconds(seconds) : null;

    private async Task AttachAsync(CancellationToken closing)
    {
        using BufferedConsoleSink buffer = new(this);
        using IDisposable attachment = machine.Console.Attach(buffer);
        while (await ControlFrame.ReadAsync(stream, closing).ConfigureAwait(false) is (FrameKind kind, byte[] content))
        {
            if (kind == FrameKind.Input)
            {
                await machine.Console.SendAsync(content, closing).ConfigureAwait(false);
            }
            else if (kind == FrameKind.Menu)
            {
                string[] words = Encoding.UTF8.GetString(content).Split(' ', 2);
                if (words.Length == 2 && Enum.TryParse(words[0], out EscapeCommand command) && control.Execute(command, words[1]) is string answer)
                {
                    await SendTextAsync(FrameKind.Text, answer, closing).ConfigureAwait(false);
                }
            }
        }
    }

    private async Task ExecuteAsync(string[] words, CancellationToken closing)
    {
        // The connection's end means that nobody waits for the command any more.
        using CancellationTokenSource gone = CancellationTokenSource.CreateLinkedTokenSource(closing);
        _ = WatchForEndAsync(gone);
        try
        {
            int status = await machine.RunAsync(
                new GuestCommand(words[0], words[1..]), new FrameStream(this, FrameKind.Output), new FrameStream(this, FrameKind.Errors), gone.Token).ConfigureAwait(false);
            await SendTextAsync(FrameKind.Exit, status.ToString(CultureInfo.InvariantCulture), closing).ConfigureAwait(false);
        }
        catch (Exception error) when (error is TimeoutException or IOException or ArgumentException or InvalidOperationException and not ObjectDisposedException)
        {
            await SendTextAsync(FrameKind.Failure, error.Message, closing).ConfigureAwait(false);
        }
    }

    private async Task WatchForEndAsync(CancellationTokenSource gone)
    {
        try
        {
            _ = await ControlFrame.ReadAsync(stream, gone.Token).ConfigureAwait(false);
            await gone.CancelAsync().ConfigureAwait(false);
        }
        catch (Exception error) when (error is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The same, or the command has ended.
        }
    }

    private async Task EndAsync(Action end, CancellationToken closing)
    {
        control.Notice += Tell;
        try
        {
            end();
            await ((Task)machine.Completion).WaitAsync(closing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            control.Notice -= Tell;
        }

        await SendTextAsync(FrameKind.Exit, "0", CancellationToken.None).ConfigureAwait(false);

        void Tell(string text) => SendTextAsync(FrameKind.Text, text, CancellationToken.None).ContinueWith(
            task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
    }

    private Task SendTextAsync(FrameKind kind, string text, CancellationToken cancellationToken) => SendAsync(kind, Encoding.UTF8.GetBytes(text), cancellationToken);

    private async Task SendAsync(FrameKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await stream.WriteAsync(ControlFrame.Create(kind, content.Span), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>A stream whose bytes become frames of one kind.</summary>
    private sealed class FrameStream(ControlConnection connection, FrameKind kind) : WriteOnlyStream
    {
        public override void Write(ReadOnlySpan<byte> buffer) =>
            connection.SendAsync(kind, buffer.ToArray(), CancellationToken.None).GetAwaiter().GetResult();

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            new(connection.SendAsync(kind, buffer, cancellationToken));
    }
}
