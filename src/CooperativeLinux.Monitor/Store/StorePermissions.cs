using System.Collections.Immutable;
using System.Globalization;

namespace CooperativeLinux.Monitor.Store;

/// <summary>What a domain may do with a node.</summary>
[Flags]
public enum StoreAccess
{
    None = 0,
    Read = 1,
    Write = 2,
    ReadWrite = 3,
}

/// <summary>
/// Permissions of a node. The first entry names the owner, who may do everything, and what domains not named may do; each
/// further entry names a domain. The host (domain 0) may always do everything.
/// </summary>
public sealed class StorePermissions
{
    private readonly ImmutableArray<(int Domain, StoreAccess Access)> _entries;

    private StorePermissions(ImmutableArray<(int Domain, StoreAccess Access)> entries) => _entries = entries;

    /// <summary>The host's own, invisible to guests.</summary>
    public static StorePermissions HostOnly { get; } = Of(0, StoreAccess.None);

    /// <summary>The host's, readable by all guests.</summary>
    public static StorePermissions Public { get; } = Of(0, StoreAccess.Read);

    /// <summary>Owner of the node.</summary>
    public int Owner => _entries[0].Domain;

    /// <summary>Entries, at least one.</summary>
    public int Count => _entries.Length;

    /// <summary>Makes permissions with an owner and what others may do, then exceptions for single domains.</summary>
    public static StorePermissions Of(int owner, StoreAccess others, params ReadOnlySpan<(int Domain, StoreAccess Access)> exceptions) =>
        new([(owner, others), .. exceptions]);

    /// <summary>The host's, readable by one guest.</summary>
    public static StorePermissions ReadableBy(int domain) => Of(0, StoreAccess.None, (domain, StoreAccess.Read));

    /// <summary>A guest's own.</summary>
    public static StorePermissions OwnedBy(int domain) => Of(domain, StoreAccess.None);

    /// <summary>Reads the wire form: a letter (n, r, w, b) and a domain number for each entry.</summary>
    public static bool TryParse(ReadOnlySpan<string> entries, out StorePermissions permissions)
    {
        permissions = HostOnly;
        if (entries.IsEmpty)
        {
            return false;
        }

        ImmutableArray<(int, StoreAccess)>.Builder parsed = ImmutableArray.CreateBuilder<(int, StoreAccess)>(entries.Length);
        foreach (string entry in entries)
        {
            StoreAccess? access = entry.Length < 2 ? null : entry[0] switch
            {
                'n' => StoreAccess.None,
                'r' => StoreAccess.Read,
                'w' => StoreAccess.Write,
                'b' => StoreAccess.ReadWrite,
                _ => null,
            };
            if (access is null || !ushort.TryParse(entry.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort domain))
            {
                return false;
            }

            parsed.Add((domain, access.Value));
        }

        permissions = new StorePermissions(parsed.MoveToImmutable());
        return true;
    }

    /// <summary>What a domain may do.</summary>
    public StoreAccess AccessOf(int domain)
    {
        if (domain == 0 || domain == Owner)
        {
            return StoreAccess.ReadWrite;
        }

        for (int i = 1; i < _entries.Length; i++)
        {
            if (_entries[i].Domain == domain)
            {
                return _entries[i].Access;
            }
        }

        return _entries[0].Access;
    }

    /// <summary>Whether a domain may do all of <paramref name="access"/>.</summary>
    public bool Allows(int domain, StoreAccess access) => (AccessOf(domain) & access) == access;

    /// <summary>The same with another owner.</summary>
    public StorePermissions WithOwner(int owner) => new(_entries.SetItem(0, (owner, _entries[0].Access)));

    /// <summary>The wire form of each entry, such as "n0" or "r1".</summary>
    public IEnumerable<string> Format()
    {
        foreach ((int domain, StoreAccess access) in _entries)
        {
            yield return $"{"nrwb"[(int)access]}{domain}";
        }
    }
}
