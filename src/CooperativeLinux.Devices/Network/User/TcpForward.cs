using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>A TCP port of the host that leads to one of the guest.</summary>
internal sealed class TcpForward : IDisposable
{
    private const int Backlog = 128;
    private const int RetryMilliseconds = 200;

    private readonly NetworkCore _core;
    private readonly TcpFlows _flows;
    private readonly PortForward _setting;
    private readonly Socket _socket;

    /// <exception cref="NetworkException">The port cannot be had.</exception>
    public TcpForward(NetworkCore core, TcpFlows flows, PortForward setting)
    {
        _core = core;
        _flows = flows;
        _setting = setting;
        _socket = ForwardSocket.Bind(setting, SocketType.Stream, ProtocolType.Tcp);
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint LocalEndPoint => (IPEndPoint)_socket.LocalEndPoint!;

    public void Start()
    {
        try
        {
            _socket.Listen(Backlog);
        }
        catch (SocketException error)
        {
            throw new NetworkException($"cannot listen at {_setting.Host} for --forward {_setting}: {error.Message}", error);
        }

        _ = AcceptAsync();
    }

    public void Dispose() => _socket.Dispose();

    private async Task AcceptAsync()
    {
        while (!_core.IsClosed)
        {
            try
            {
                Socket client = await _socket.AcceptAsync().ConfigureAwait(false);
                if (_core.IsClosed)
                {
                    client.Dispose();
                }

                _core.Enter(() => _flows.OpenForward(client, _setting.GuestPort));
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (SocketException error)
            {
                if (_core.IsClosed)
                {
                    return;
                }

                // Too many open files, or a client that has gone already.
                _core.Logger.LogDebug("A client of a forward was lost: {Message}", error.Message);
                await Task.Delay(RetryMilliseconds).ConfigureAwait(false);
            }
        }
    }
}
