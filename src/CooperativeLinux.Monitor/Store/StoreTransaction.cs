namespace CooperativeLinux.Monitor.Store;

/// <summary>
/// A guest's transaction: its own view of the tree as it was at the start, and the operations done in it. It conflicts if a node
/// it looked at or changed has been changed by somebody else since. Reading alone never conflicts. The store's lock is held.
/// </summary>
internal sealed class StoreTransaction(StoreNode start, StoreView view)
{
    private readonly List<Func<StoreView, StoreError>> _operations = [];

    /// <summary>Runs an operation; ENOSPC if the transaction has become too large.</summary>
    public StoreError Run(Func<StoreView, StoreError> operation, int limit)
    {
        if (view.Accessed!.Count > limit || _operations.Count > limit)
        {
            return StoreError.ENOSPC;
        }

        int changesBefore = view.Changes.Count;
        StoreError error = operation(view);
        if (view.Changes.Count != changesBefore)
        {
            _operations.Add(operation);
        }

        return error;
    }

    /// <summary>Makes the changes in the store's own tree: EAGAIN on a conflict, with nothing changed.</summary>
    public StoreError CommitTo(StoreView live)
    {
        if (_operations.Count == 0)
        {
            return StoreError.None;
        }

        if (ReferenceEquals(live.Root, start))
        {
            live.Adopt(view);
            live.Changes.AddRange(view.Changes);
            return StoreError.None;
        }

        foreach ((string path, ulong generation) in view.Accessed!)
        {
            if ((live.Find(path)?.Generation ?? 0) != generation)
            {
                return StoreError.EAGAIN;
            }
        }

        StoreView attempt = live.Fork();
        foreach (Func<StoreView, StoreError> operation in _operations)
        {
            // All it saw is unchanged, so only a limit that others have used up meanwhile can stop it.
            if (operation(attempt) != StoreError.None)
            {
                return StoreError.EAGAIN;
            }
        }

        live.Adopt(attempt);
        live.Changes.AddRange(attempt.Changes);
        return StoreError.None;
    }
}
