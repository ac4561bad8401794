using System.Text;

namespace CooperativeLinux.Monitor.Store;

/// <summary>Host operations that take effect together; see <see cref="XenStore.Transact"/>.</summary>
public sealed class StoreBatch
{
    private const int Host = 0;

    private readonly StoreView _view;

    internal StoreBatch(StoreView view) => _view = view;

    /// <summary>Reads a value as UTF-8, with this batch's changes; null if there is no such node.</summary>
    public string? Read(string path) => XenStore.Text(_view.Find(XenStore.Checked(path)));

    /// <summary>Names of a node's children, in order; none if there is no such node.</summary>
    public IReadOnlyList<string> List(string path) => _view.Find(XenStore.Checked(path)) is { } node ? [.. node.Children.Keys] : [];

    /// <summary>Writes a value; see <see cref="XenStore.Write"/>.</summary>
    public void Write(string path, string value, StorePermissions? permissions = null)
    {
        Check(_view.Write(Host, XenStore.Checked(path), Encoding.UTF8.GetBytes(value)), path);
        if (permissions is not null)
        {
            SetPermissions(path, permissions);
        }
    }

    /// <summary>Makes a node with an empty value if it is not there, and sets its permissions.</summary>
    public void MakeDirectory(string path, StorePermissions? permissions = null)
    {
        Check(_view.MakeDirectory(Host, XenStore.Checked(path)), path);
        if (permissions is not null)
        {
            SetPermissions(path, permissions);
        }
    }

    /// <summary>Sets the permissions of a node that is there.</summary>
    public void SetPermissions(string path, StorePermissions permissions) =>
        Check(_view.SetPermissions(Host, XenStore.Checked(path), permissions), path);

    /// <summary>Removes a node and all below it, if it is there.</summary>
    public void Remove(string path)
    {
        if (_view.Find(XenStore.Checked(path)) is not null)
        {
            Check(_view.Remove(Host, path), path);
        }
    }

    private static void Check(StoreError error, string path)
    {
        if (error != StoreError.None)
        {
            throw new InvalidOperationException($"The store refused '{path}': {error}.");
        }
    }
}
