using System.Collections.Immutable;

namespace CooperativeLinux.Monitor.Store;

/// <summary>One node; immutable, so that a transaction's view of the whole tree is one reference.</summary>
internal sealed record StoreNode
{
    public static readonly ImmutableSortedDictionary<string, StoreNode> NoChildren =
        ImmutableSortedDictionary.Create<string, StoreNode>(StringComparer.Ordinal);

    public required byte[] Value { get; init; }

    public required StorePermissions Permissions { get; init; }

    /// <summary>Changes whenever the value, the permissions or the set of children do; never used twice.</summary>
    public required ulong Generation { get; init; }

    public ImmutableSortedDictionary<string, StoreNode> Children { get; init; } = NoChildren;

    /// <summary>Nodes here and below that guests own.</summary>
    public int CountGuestNodes()
    {
        int count = Permissions.Owner != 0 ? 1 : 0;
        foreach (StoreNode child in Children.Values)
        {
            count += child.CountGuestNodes();
        }

        return count;
    }
}
