using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Grants;

namespace CooperativeLinux.Devices.Console;

/// <summary>
/// A console beside the primary one. The guest's driver (hvc_xen) takes them in the order of their numbers: number 1 is
/// <c>/dev/hvc1</c>, if no other is before it.
/// </summary>
public sealed class SecondaryConsole : BackendDevice
{
    private const string DeviceType = "console";

    // Only the last words of a console are wanted by anybody, and here nobody looks at them.
    private const int ScrollbackSize = 1;

    private readonly IConsoleSink _sink;
    private ConsoleBackend? _console;

    /// <param name="context">The machine.</param>
    /// <param name="id">1 to 9: the driver reads it from the last digit of the device's path, and 0 is the primary console.</param>
    /// <param name="sink">Receives what the guest writes.</param>
    public SecondaryConsole(DeviceContext context, int id, IConsoleSink sink)
        : base(context, DeviceType, id)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(id, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(id, 9);
        _sink = sink;
    }

    /// <summary>Sends input to the guest.</summary>
    /// <param name="input">Raw bytes.</param>
    /// <param name="cancellationToken">Gives up, also after a part.</param>
    /// <exception cref="IOException">The guest has not opened the device, or closed it meanwhile.</exception>
    public async Task SendAsync(ReadOnlyMemory<byte> input, CancellationToken cancellationToken)
    {
        while (!input.IsEmpty)
        {
            ConsoleBackend console = Volatile.Read(ref _console) ?? throw new IOException($"the guest does not use {Name}");
            input = input[console.Send(input.Span)..];
            if (!input.IsEmpty)
            {
                // Bounded, because the guest may close the device meanwhile.
                await Task.WhenAny(console.WhenInputHasRoomAsync(cancellationToken), Task.Delay(100, cancellationToken)).ConfigureAwait(false);
                cancellationToken.ThrowIfCancellationRequested();
            }
        }
    }

    /// <inheritdoc/>
    protected override void Describe(IDictionary<string, string> frontend, IDictionary<string, string> backend)
    {
        frontend["type"] = "colinux";
        frontend["output"] = "pty";
    }

    /// <inheritdoc/>
    protected override void OnConnect()
    {
        GuestPages page = MapPages("ring-ref");
        Volatile.Write(ref _console, new ConsoleBackend(page, onNotify => BindChannel("port", onNotify), _sink, ScrollbackSize, Logger));
    }

    /// <inheritdoc/>
    protected override void OnDisconnect() => Interlocked.Exchange(ref _console, null)?.Dispose();
}
