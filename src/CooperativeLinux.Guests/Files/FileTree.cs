using System.Text;

namespace CooperativeLinux.Guests.Files;

/// <summary>
/// The files of a guest as a list, with owners, modes and devices that the host's file system need not be able
/// to hold. Paths are relative, with <c>/</c> between the names; a leading slash is dropped. Missing parent
/// folders are made (root's, mode 0755), and symbolic links among the parents are followed, so that <c>bin/x</c>
/// lands in <c>usr/bin/x</c> where <c>bin</c> is a link.
/// </summary>
public sealed class FileTree
{
    private const int MaximumLinks = 40;

    private readonly SortedDictionary<string, FileNode> _nodes = new(StringComparer.Ordinal);

    /// <summary>All paths with their files, parents before children.</summary>
    public IEnumerable<KeyValuePair<string, FileNode>> Entries => _nodes;

    /// <summary>The number of paths.</summary>
    public int Count => _nodes.Count;

    /// <summary>
    /// Where a path lies when the links among its parents are followed. Makes missing parents, and fails if the
    /// path leads through a file that is no folder.
    /// </summary>
    /// <exception cref="ArgumentException">There is no such place.</exception>
    public string Resolve(string path)
    {
        string resolved = ResolveParents(path, makeParents: true);
        return resolved.Length > 0 ? resolved : throw new ArgumentException($"'{path}' names no file", nameof(path));
    }

    /// <summary>Adds a file, replacing what was at the path; but a folder does not replace a link (to a folder).</summary>
    /// <exception cref="ArgumentException">The path is empty or leads through a file that is no folder.</exception>
    public void Add(string path, FileNode node)
    {
        ArgumentNullException.ThrowIfNull(node);
        string resolved = Resolve(path);
        FileNode? present = _nodes.GetValueOrDefault(resolved);
        if (node.Kind == FileKind.Directory && present?.Kind == FileKind.SymbolicLink)
        {
            return;
        }

        if (node.Kind != FileKind.Directory && present?.Kind == FileKind.Directory && HasChildren(resolved))
        {
            throw new ArgumentException($"'{path}' is a folder with files", nameof(path));
        }

        _nodes[resolved] = node;
    }

    /// <summary>Adds a folder.</summary>
    public void AddDirectory(string path, int permissions = 0b111_101_101)
    {
        Add(path, new FileNode { Kind = FileKind.Directory, Permissions = permissions });
    }

    /// <summary>Adds a regular file with the given text.</summary>
    public void AddText(string path, string text, int permissions = 0b110_100_100)
    {
        Add(path, new FileNode { Kind = FileKind.Regular, Permissions = permissions, Content = Encoding.UTF8.GetBytes(text) });
    }

    /// <summary>Adds a regular file with the content of a file of the host, read when the tree is written.</summary>
    public void AddFile(string path, string contentPath, int permissions = 0b110_100_100)
    {
        Add(path, new FileNode { Kind = FileKind.Regular, Permissions = permissions, ContentPath = contentPath });
    }

    /// <summary>Adds a symbolic link.</summary>
    public void AddLink(string path, string target)
    {
        Add(path, new FileNode { Kind = FileKind.SymbolicLink, Permissions = 0b111_111_111, Target = target });
    }

    /// <summary>Adds a character device.</summary>
    public void AddCharacterDevice(string path, int major, int minor, int permissions)
    {
        Add(path, new FileNode
        {
            Kind = FileKind.CharacterDevice,
            Permissions = permissions,
            DeviceMajor = major,
            DeviceMinor = minor,
        });
    }

    /// <summary>The file at a path, with links among its parents followed but not the last one, or null.</summary>
    public FileNode? Find(string path)
    {
        return _nodes.GetValueOrDefault(ResolveParents(path, makeParents: false));
    }

    /// <summary>True if the path leads to a file, all links followed.</summary>
    public bool Exists(string path)
    {
        string resolved = ResolveParents(path, makeParents: false);
        for (int links = 0; links < MaximumLinks; links++)
        {
            FileNode? node = _nodes.GetValueOrDefault(resolved);
            if (node?.Kind != FileKind.SymbolicLink)
            {
                return node is not null;
            }

            resolved = ResolveParents(Join(ParentOf(resolved), node.Target!), makeParents: false);
        }

        return false;
    }

    /// <summary>Takes a path away, together with everything below it.</summary>
    public void Remove(string path)
    {
        string resolved = ResolveParents(path, makeParents: false);
        _nodes.Remove(resolved);
        foreach (string below in _nodes.Keys.Where(key => key.StartsWith(resolved + "/", StringComparison.Ordinal)).ToList())
        {
            _nodes.Remove(below);
        }
    }

    private bool HasChildren(string resolved)
    {
        return _nodes.Keys.Any(key => key.StartsWith(resolved + "/", StringComparison.Ordinal));
    }

    private static string ParentOf(string path)
    {
        int slash = path.LastIndexOf('/');
        return slash < 0 ? "" : path[..slash];
    }

    private static string Join(string folder, string target)
    {
        return target.StartsWith('/') || folder.Length == 0 ? target : folder + "/" + target;
    }

    private string ResolveParents(string path, bool makeParents)
    {
        List<string> resolved = [];
        Stack<string> rest = new(Names(path).Reverse());
        int links = 0;
        while (rest.TryPop(out string? name))
        {
            if (name == "..")
            {
                if (resolved.Count > 0)
                {
                    resolved.RemoveAt(resolved.Count - 1);
                }

                continue;
            }

            resolved.Add(name);
            if (rest.Count == 0)
            {
                break;
            }

            string here = string.Join('/', resolved);
            FileNode? node = _nodes.GetValueOrDefault(here);
            if (node is { Kind: FileKind.SymbolicLink })
            {
                if (++links > MaximumLinks)
                {
                    throw new ArgumentException($"too many symbolic links in '{path}'", nameof(path));
                }

                resolved.RemoveAt(resolved.Count - 1);
                if (node.Target!.StartsWith('/'))
                {
                    resolved.Clear();
                }

                foreach (string part in Names(node.Target).Reverse())
                {
                    rest.Push(part);
                }
            }
            else if (node is null && makeParents)
            {
                _nodes[here] = new FileNode { Kind = FileKind.Directory, Permissions = 0b111_101_101 };
            }
            else if (node is not null && node.Kind != FileKind.Directory && makeParents)
            {
                throw new ArgumentException($"'{here}' in '{path}' is no folder", nameof(path));
            }
        }

        return string.Join('/', resolved);
    }

    private static IEnumerable<string> Names(string path)
    {
        return path.Split('/', StringSplitOptions.RemoveEmptyEntries).Where(name => name != ".");
    }
}
