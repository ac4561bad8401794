using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Monitor.Store;

/// <summary>
/// xenstore: the tree of small values through which host and guest set devices up. This class is the host's side, which
/// may do everything; a guest's side is a <see cref="StoreConnection"/>. All members may be called on any thread.
/// </summary>
public sealed partial class XenStore
{
    private readonly Lock _gate = new();
    private readonly StoreView _live;
    private readonly ILogger _logger;
    private ulong _generation;

    public XenStore(StoreLimits? limits = null, ILogger? logger = null)
    {
        Limits = limits ?? new StoreLimits();
        _logger = logger ?? NullLogger.Instance;
        StoreNode root = new() { Value = [], Permissions = StorePermissions.Public, Generation = NextGeneration() };
        _live = new StoreView(root, 0, Limits, NextGeneration);
    }

    /// <summary>Limits for guests.</summary>
    public StoreLimits Limits { get; }

    /// <summary>Reads a value as UTF-8; null if there is no such node. What a guest wrote may be any text.</summary>
    public string? Read(string path)
    {
        lock (_gate)
        {
            return Text(_live.Find(Checked(path)));
        }
    }

    /// <summary>Names of a node's children, in order; none if there is no such node.</summary>
    public IReadOnlyList<string> List(string path)
    {
        lock (_gate)
        {
            return _live.Find(Checked(path)) is { } node ? [.. node.Children.Keys] : [];
        }
    }

    /// <summary>Whether there is such a node.</summary>
    public bool Exists(string path)
    {
        lock (_gate)
        {
            return _live.Find(Checked(path)) is not null;
        }
    }

    /// <summary>Writes a value, creating the node and its parents where needed.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="value">Text, kept as UTF-8.</param>
    /// <param name="permissions">Permissions to set; null: as they are, or the parent's for a new node.</param>
    public void Write(string path, string value, StorePermissions? permissions = null) =>
        Transact(batch => batch.Write(path, value, permissions));

    /// <summary>Removes a node and all below it, if it is there.</summary>
    public void Remove(string path) => Transact(batch => batch.Remove(path));

    /// <summary>Does several things at once: guests see all of them or none. If <paramref name="action"/> throws, nothing
    /// happened. It must not use the store but through its argument.</summary>
    public void Transact(Action<StoreBatch> action)
    {
        lock (_gate)
        {
            StoreView view = new(_live.Root, _live.GuestNodes, Limits, NextGeneration);
            action(new StoreBatch(view));
            _live.Adopt(view);
            Fire(view.Changes);
        }
    }

    internal static string Checked(string path) =>
        StorePath.IsValid(path) ? path : throw new ArgumentException($"'{path}' is no store path.", nameof(path));

    internal static string? Text(StoreNode? node) => node is null ? null : Encoding.UTF8.GetString(node.Value);

    /// <summary>Runs a guest's operation on the store itself.</summary>
    internal StoreError Run(Func<StoreView, StoreError> operation)
    {
        lock (_gate)
        {
            StoreError error = operation(_live);
            Fire(_live.Changes);
            return error;
        }
    }

    /// <summary>Starts a guest's transaction.</summary>
    internal StoreTransaction Begin()
    {
        lock (_gate)
        {
            return new StoreTransaction(_live.Root, new StoreView(_live.Root, _live.GuestNodes, Limits, NextGeneration, []));
        }
    }

    /// <summary>Runs a guest's operation in its transaction.</summary>
    internal StoreError Run(StoreTransaction transaction, Func<StoreView, StoreError> operation)
    {
        lock (_gate)
        {
            return transaction.Run(operation, Limits.TransactionNodes);
        }
    }

    /// <summary>Ends a guest's transaction by making its changes.</summary>
    internal StoreError Commit(StoreTransaction transaction)
    {
        lock (_gate)
        {
            StoreError error = transaction.CommitTo(_live);
            Fire(_live.Changes);
            return error;
        }
    }

    // The lock is held.
    private ulong NextGeneration() => ++_generation;
}
