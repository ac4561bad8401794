using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Store;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Devices.Xenbus;

/// <summary>What backends need of the machine they belong to.</summary>
public sealed record DeviceContext(XenStore Store, EventChannels Events, GrantTable Grants)
{
    /// <summary>Domain number of the guest.</summary>
    public int Domain { get; init; } = 1;

    public ILoggerFactory Loggers { get; init; } = NullLoggerFactory.Instance;
}

/// <summary>The frontend's nodes make no sense; the message says which. The device is closed, nothing else happens.</summary>
public sealed class FrontendException(string message) : Exception(message);
