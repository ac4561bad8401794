using System.Net;
using CooperativeLinux.Devices.Network.Protocols;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>What the parts of a user-mode network share. Everything is used with <see cref="Gate"/> held, also by sockets' callbacks.</summary>
internal sealed class NetworkCore : IDisposable
{
    private readonly Timer _timer;
    private readonly Queue<DatagramFlow> _waiting = new();
    private long _wakeAt = Tcp.TcpEndpoint.Never;

    /// <param name="options">What the network does.</param>
    /// <param name="onTick">Called, with the lock held, when a time asked for has come.</param>
    public NetworkCore(UserNetworkOptions options, Action onTick)
    {
        Options = options;
        Plan = new AddressPlan { HasOutside = !options.IsRestricted };
        Link = new GuestLink(Plan, options.GuestMac);
        Datagrams = new HeldDatagrams(Link);
        Resolvers = new HostResolvers(options.Resolvers);
        Logger = options.Loggers.CreateLogger("network");
        _timer = new Timer(_ => Enter(() =>
        {
            _wakeAt = Tcp.TcpEndpoint.Never;
            onTick();
        }));
    }

    public Lock Gate { get; } = new();

    public UserNetworkOptions Options { get; }

    public AddressPlan Plan { get; }

    public GuestLink Link { get; }

    public HeldDatagrams Datagrams { get; }

    public HostResolvers Resolvers { get; }

    public ILogger Logger { get; }

    public bool IsClosed { get; private set; }

    /// <summary>Milliseconds of a clock that only goes forward.</summary>
    public static long Now => Environment.TickCount64;

    /// <summary>Runs a callback of the system with the lock held, unless the network is closed. Nothing that goes wrong there may end the
    /// process.</summary>
    public void Enter(Action action)
    {
        lock (Gate)
        {
            if (IsClosed)
            {
                return;
            }

            try
            {
                action();
            }
            catch (Exception exception)
            {
                Logger.LogError(exception, "An internal error in the network");
            }
        }
    }

    /// <summary>Lets a conversation go on when the guest has room.</summary>
    public void WaitForRoom(DatagramFlow flow) => _waiting.Enqueue(flow);

    /// <summary>The guest has room.</summary>
    public void OnRoom()
    {
        Datagrams.OnRoom();
        while (Datagrams.HasRoom && _waiting.TryDequeue(out DatagramFlow? flow))
        {
            flow.OnRoom();
        }
    }

    /// <summary>Asks for a tick at a time.</summary>
    public void WakeAt(long time)
    {
        if (time < _wakeAt && !IsClosed)
        {
            _wakeAt = time;
            _timer.Change(Math.Max(0, time - Now), Timeout.Infinite);
        }
    }

    /// <summary>Where on the host or beyond an address of the guest's network leads.</summary>
    /// <param name="address">Address the guest uses.</param>
    /// <param name="port">Port the guest uses.</param>
    /// <param name="target">Where to connect.</param>
    /// <param name="reason">Why not.</param>
    public bool TryMap(NetworkAddress address, ushort port, out IPEndPoint target, out UnreachableReason reason)
    {
        target = new IPEndPoint(IPAddress.None, 0);
        reason = UnreachableReason.Host;
        if (Options.IsRestricted)
        {
            reason = UnreachableReason.Prohibited;
            return false;
        }

        if (Plan.IsResolver(address))
        {
            IPEndPoint? resolver = port == HostResolvers.Port ? Resolvers.Current(Now) : null;
            target = resolver ?? target;
            reason = UnreachableReason.Port;
            return resolver is not null;
        }

        if (Plan.IsGateway(address))
        {
            target = new IPEndPoint(address.IsV4 ? IPAddress.Loopback : IPAddress.IPv6Loopback, port);
            return true;
        }

        if (Plan.IsLocal(address) || address.IsUnroutable || address.IsGroup || port == 0)
        {
            return false;
        }

        target = new IPEndPoint(address.ToIPAddress(), port);
        return true;
    }

    public void Dispose()
    {
        IsClosed = true;
        _timer.Dispose();
    }
}
