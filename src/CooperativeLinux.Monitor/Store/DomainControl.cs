namespace CooperativeLinux.Monitor.Store;

/// <summary>What a guest can be asked to do with itself.</summary>
public enum ShutdownRequest
{
    PowerOff,
    Reboot,
    Halt,

    /// <summary>Sleep, from which the monitor wakes it at once: the guest sets its clock then (docs/control.md).</summary>
    Suspend,
}

/// <summary>Asks a running guest for things, through its control and memory nodes.</summary>
public sealed class DomainControl
{
    private const string SysRqKeys = "0123456789abcdefghijklmnopqrstuvwxyz";

    private readonly XenStore _store;
    private readonly string _home;

    public DomainControl(XenStore store, int domain = 1)
    {
        _store = store;
        _home = StorePath.OfDomain(domain);
    }

    /// <summary>Whether the guest's kernel has said that it follows shutdown requests; before that they have no effect.</summary>
    public bool IsShutdownSupported => _store.Read($"{_home}/control/feature-poweroff") == "1";

    /// <summary>Whether the last shutdown request has not been taken by the guest yet.</summary>
    public bool IsShutdownPending => !string.IsNullOrEmpty(_store.Read($"{_home}/control/shutdown"));

    /// <summary>Memory the guest is asked to use, in KiB; null if unknown.</summary>
    public ulong? MemoryTargetKiB => Number("memory/target");

    /// <summary>The most memory the guest can use, in KiB; 0 if unknown.</summary>
    public ulong MemoryMaximumKiB => Number("memory/static-max") ?? 0;

    /// <summary>Whether a key is one for <see cref="SendSysRq"/>.</summary>
    public static bool IsSysRqKey(char key) => SysRqKeys.Contains(key);

    /// <summary>Asks for an orderly shutdown.</summary>
    public void RequestShutdown(ShutdownRequest request) =>
        _store.Write($"{_home}/control/shutdown", request.ToString().ToLowerInvariant());

    /// <summary>Sends a magic system request.</summary>
    /// <param name="key">A digit or small letter.</param>
    public void SendSysRq(char key)
    {
        if (!SysRqKeys.Contains(key))
        {
            throw new ArgumentOutOfRangeException(nameof(key), key, "A system request is a digit or a small letter.");
        }

        _store.Write($"{_home}/control/sysrq", $"{key}");
    }

    /// <summary>Asks the guest to use that much memory (balloon).</summary>
    /// <param name="kibibytes">KiB, at most the domain's static maximum.</param>
    public void SetMemoryTarget(ulong kibibytes)
    {
        ArgumentOutOfRangeException.ThrowIfZero(kibibytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(kibibytes, MemoryMaximumKiB);
        _store.Write($"{_home}/memory/target", $"{kibibytes}");
    }

    /// <summary>Asks the guest to bring a vCPU up or down.</summary>
    public void SetVcpuOnline(int vcpu, bool isOnline) =>
        _store.Write($"{_home}/cpu/{vcpu}/availability", isOnline ? "online" : "offline");

    private ulong? Number(string key) => ulong.TryParse(_store.Read($"{_home}/{key}"), out ulong value) ? value : null;
}
