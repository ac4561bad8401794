namespace CooperativeLinux.Monitor.Store;

/// <summary>What the standard nodes tell about a domain.</summary>
public sealed record DomainDescription
{
    /// <summary>Domain number of the guest.</summary>
    public int Domain { get; init; } = 1;

    public required string Name { get; init; }

    public required Guid Uuid { get; init; }

    public required int VcpuCount { get; init; }

    /// <summary>Memory the guest starts with, in KiB.</summary>
    public required ulong MemoryKiB { get; init; }

    /// <summary>Most memory the guest may ever have, in KiB.</summary>
    public required ulong MaxMemoryKiB { get; init; }

    /// <summary>Frame of the console ring and the guest's port for it; null: no primary console.</summary>
    public (ulong Frame, uint Port)? Console { get; init; }

    /// <summary>Frame of the store ring and the guest's port for it.</summary>
    public (ulong Frame, uint Port)? Store { get; init; }
}

/// <summary>The nodes every domain has, with the rights a guest usually has on them: it reads its directory and writes only where
/// it has something to say.</summary>
public static class DomainNodes
{
    private static readonly string[] _guestOwned =
    [
        "control/shutdown", "control/sysrq", "control/feature-poweroff", "control/feature-reboot", "control/feature-suspend",
        "data", "drivers", "feature", "attr", "error",
    ];

    /// <summary>Writes the nodes of a new domain, at once; what was left of an earlier domain of that number goes away.</summary>
    public static void Write(XenStore store, DomainDescription description)
    {
        int domain = description.Domain;
        string home = StorePath.OfDomain(domain);
        string vm = $"/vm/{description.Uuid:D}";
        StorePermissions readable = StorePermissions.ReadableBy(domain);
        StorePermissions owned = StorePermissions.OwnedBy(domain);
        store.Transact(batch =>
        {
            Remove(batch, domain);
            batch.Write("/local/domain/0/domid", "0");
            batch.Write("/local/domain/0/name", "Domain-0");
            batch.MakeDirectory("/local/domain/0/backend");
            batch.MakeDirectory(vm, readable);
            batch.Write($"{vm}/name", description.Name);
            batch.Write($"{vm}/uuid", description.Uuid.ToString("D"));

            batch.MakeDirectory(home, readable);
            batch.Write($"{home}/vm", vm);
            batch.Write($"{home}/name", description.Name);
            batch.Write($"{home}/domid", $"{domain}");
            for (int vcpu = 0; vcpu < description.VcpuCount; vcpu++)
            {
                batch.Write($"{home}/cpu/{vcpu}/availability", "online");
            }

            batch.Write($"{home}/memory/target", $"{description.MemoryKiB}");
            batch.Write($"{home}/memory/static-max", $"{description.MaxMemoryKiB}");
            batch.MakeDirectory($"{home}/device");
            batch.Write($"{home}/control/platform-feature-xs_reset_watches", "1");
            foreach (string name in _guestOwned)
            {
                batch.MakeDirectory($"{home}/{name}", owned);
            }

            WriteRing(batch, $"{home}/store", description.Store);
            WriteRing(batch, $"{home}/console", description.Console);
            if (description.Console is not null)
            {
                batch.Write($"{home}/console/type", "colinux");
                batch.Write($"{home}/console/output", "pty");
            }
        });
    }

    /// <summary>Removes all nodes of a domain, with its devices' backends.</summary>
    public static void Remove(XenStore store, int domain) => store.Transact(batch => Remove(batch, domain));

    private static void Remove(StoreBatch batch, int domain)
    {
        string home = StorePath.OfDomain(domain);
        if (batch.Read($"{home}/vm") is { } vm && StorePath.IsValid(vm) && vm != "/")
        {
            batch.Remove(vm);
        }

        foreach (string type in batch.List("/local/domain/0/backend"))
        {
            batch.Remove($"/local/domain/0/backend/{type}/{domain}");
        }

        batch.Remove(home);
    }

    private static void WriteRing(StoreBatch batch, string path, (ulong Frame, uint Port)? ring)
    {
        if (ring is { } value)
        {
            batch.Write($"{path}/ring-ref", $"{value.Frame}");
            batch.Write($"{path}/port", $"{value.Port}");
        }
    }
}
