namespace CooperativeLinux.Monitor.Store;

/// <summary>A change that watches are told about.</summary>
/// <param name="Path">The node that changed.</param>
/// <param name="IsRemoval">The node and all below it went away.</param>
/// <param name="Permissions">The node's permissions, before it went or after it changed.</param>
internal readonly record struct StoreChange(string Path, bool IsRemoval, StorePermissions Permissions);

/// <summary>
/// A tree that is being worked on: the store's own, or a transaction's. Operations check the domain's rights and the limits, and
/// note what they changed. Not thread-safe; the store's lock is held.
/// </summary>
internal sealed class StoreView
{
    private readonly StoreLimits _limits;
    private readonly Func<ulong> _nextGeneration;

    /// <param name="root">Root node.</param>
    /// <param name="guestNodes">Nodes in it that guests own.</param>
    /// <param name="limits">Limits for guests.</param>
    /// <param name="nextGeneration">Gives generations.</param>
    /// <param name="accessed">Receives each path looked at, with the generation found first (0: no such node); null: not wanted.</param>
    public StoreView(StoreNode root, int guestNodes, StoreLimits limits, Func<ulong> nextGeneration, Dictionary<string, ulong>? accessed = null)
    {
        Root = root;
        GuestNodes = guestNodes;
        Accessed = accessed;
        _limits = limits;
        _nextGeneration = nextGeneration;
    }

    public StoreNode Root { get; private set; }

    public int GuestNodes { get; private set; }

    public Dictionary<string, ulong>? Accessed { get; }

    /// <summary>Changes since the list was last cleared.</summary>
    public List<StoreChange> Changes { get; } = [];

    /// <summary>Looks a node up without rights or notes.</summary>
    public StoreNode? Find(string path)
    {
        StoreNode? node = Root;
        foreach (string part in Split(path))
        {
            if (!node.Children.TryGetValue(part, out node))
            {
                return null;
            }
        }

        return node;
    }

    public StoreError Get(int domain, string path, StoreAccess access, out StoreNode? node)
    {
        node = Find(path);
        Note(path, node);
        if (node is not null)
        {
            return node.Permissions.Allows(domain, access) ? StoreError.None : StoreError.EACCES;
        }

        // Whether a node exists is told only to those who may look at the nearest one that does.
        return NearestAncestor(path).Node.Permissions.Allows(domain, access) ? StoreError.ENOENT : StoreError.EACCES;
    }

    public StoreError Write(int domain, string path, ReadOnlySpan<byte> value)
    {
        if (domain != 0 && value.Length > _limits.ValueSize)
        {
            return StoreError.ENOSPC;
        }

        StoreError error = Get(domain, path, StoreAccess.Write, out StoreNode? node);
        if (error == StoreError.None)
        {
            StoreNode changed = node! with { Value = value.ToArray(), Generation = _nextGeneration() };
            Replace(path, changed);
            Changes.Add(new StoreChange(path, false, changed.Permissions));
            return StoreError.None;
        }

        return error == StoreError.ENOENT ? Create(domain, path, value.ToArray()) : error;
    }

    public StoreError MakeDirectory(int domain, string path)
    {
        StoreError error = Get(domain, path, StoreAccess.Write, out _);
        return error == StoreError.ENOENT ? Create(domain, path, []) : error;
    }

    public StoreError Remove(int domain, string path)
    {
        if (path == "/")
        {
            return StoreError.EINVAL;
        }

        StoreError error = Get(domain, path, StoreAccess.Write, out StoreNode? node);
        string parentPath = StorePath.Parent(path);
        StoreNode? parent = Find(parentPath);
        Note(parentPath, parent);
        if (error == StoreError.ENOENT && parent is not null)
        {
            return StoreError.None;
        }

        if (error != StoreError.None)
        {
            return error;
        }

        GuestNodes -= node!.CountGuestNodes();
        Replace(parentPath, parent! with { Children = parent.Children.Remove(StorePath.Name(path)), Generation = _nextGeneration() });
        Changes.Add(new StoreChange(path, true, node.Permissions));
        return StoreError.None;
    }

    public StoreError SetPermissions(int domain, string path, StorePermissions permissions)
    {
        StoreError error = Get(domain, path, StoreAccess.ReadWrite, out StoreNode? node);
        if (error != StoreError.None)
        {
            return error;
        }

        int oldOwner = node!.Permissions.Owner;
        if (domain != 0)
        {
            if (domain != oldOwner)
            {
                return StoreError.EACCES;
            }

            if (permissions.Owner != oldOwner)
            {
                return StoreError.EPERM;
            }

            if (permissions.Count > _limits.Permissions)
            {
                return StoreError.ENOSPC;
            }
        }

        GuestNodes += (permissions.Owner != 0 ? 1 : 0) - (oldOwner != 0 ? 1 : 0);
        Replace(path, node with { Permissions = permissions, Generation = _nextGeneration() });
        Changes.Add(new StoreChange(path, false, permissions));
        return StoreError.None;
    }

    /// <summary>Takes another tree over.</summary>
    public void Adopt(StoreView other)
    {
        Root = other.Root;
        GuestNodes = other.GuestNodes;
    }

    /// <summary>Another view of the same tree.</summary>
    public StoreView Fork() => new(Root, GuestNodes, _limits, _nextGeneration);

    private static string[] Split(string path) => path == "/" ? [] : path[1..].Split('/');

    private static StoreNode ReplaceBelow(StoreNode node, ReadOnlySpan<string> parts, StoreNode replacement) =>
        parts.IsEmpty
            ? replacement
            : node with { Children = node.Children.SetItem(parts[0], ReplaceBelow(node.Children[parts[0]], parts[1..], replacement)) };

    private StoreError Create(int domain, string path, byte[] value)
    {
        (string ancestorPath, StoreNode ancestor) = NearestAncestor(path);
        string[] missing = path[(ancestorPath == "/" ? 1 : ancestorPath.Length + 1)..].Split('/');
        StorePermissions permissions = domain == 0 ? ancestor.Permissions : ancestor.Permissions.WithOwner(domain);
        if (permissions.Owner != 0)
        {
            if (domain != 0 && GuestNodes + missing.Length > _limits.Nodes)
            {
                return StoreError.ENOSPC;
            }

            GuestNodes += missing.Length;
        }

        StoreNode? node = null;
        for (int i = missing.Length - 1; i >= 0; i--)
        {
            node = new StoreNode
            {
                Value = node is null ? value : [],
                Permissions = permissions,
                Generation = _nextGeneration(),
                Children = node is null ? StoreNode.NoChildren : StoreNode.NoChildren.Add(missing[i + 1], node),
            };
        }

        Note(ancestorPath, ancestor);
        Replace(ancestorPath, ancestor with { Children = ancestor.Children.Add(missing[0], node!), Generation = _nextGeneration() });
        Changes.Add(new StoreChange(path, false, permissions));
        return StoreError.None;
    }

    /// <summary>The nearest node above a path that has no node.</summary>
    private (string Path, StoreNode Node) NearestAncestor(string path)
    {
        StoreNode node = Root;
        int length = 0;
        foreach (string part in Split(path))
        {
            if (!node.Children.TryGetValue(part, out StoreNode? child))
            {
                break;
            }

            node = child;
            length += part.Length + 1;
        }

        return (length == 0 ? "/" : path[..length], node);
    }

    private void Note(string path, StoreNode? node) => Accessed?.TryAdd(path, node?.Generation ?? 0);

    private void Replace(string path, StoreNode node) => Root = ReplaceBelow(Root, Split(path), node);
}
