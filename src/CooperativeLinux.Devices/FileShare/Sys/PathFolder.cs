using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>
/// A shared folder reached by paths through .NET's file functions: for Windows hosts. Before each use every component is checked not to be
/// a link; that leaves a moment in which somebody on the host could swap one, which Linux hosts do not have.
/// </summary>
internal sealed class PathFolder : HostFolder
{
    private static readonly string[] s_reservedNames = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

    private readonly HashSet<PathNode> _nodes = [];
    private readonly Lock _gate = new();
    private readonly bool _hasWindowsNames;

    /// <param name="path">The folder.</param>
    /// <param name="hasWindowsNames">Whether names follow the rules of Windows.</param>
    /// <exception cref="IOException">It is not there.</exception>
    public PathFolder(string path, bool hasWindowsNames)
    {
        if (!Directory.Exists(path))
        {
            throw new IOException(File.Exists(path) ? $"{path} is not a folder" : $"the folder {path} does not exist");
        }

        _hasWindowsNames = hasWindowsNames;
        RootPath = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        Root = new PathNode(this, "");
    }

    /// <inheritdoc/>
    public override HostNode Root { get; }

    /// <inheritdoc/>
    public override ulong Device => 1;

    /// <inheritdoc/>
    public override uint HostUser => 0;

    /// <inheritdoc/>
    public override uint HostGroup => 0;

    /// <summary>The folder's full path.</summary>
    public string RootPath { get; }

    /// <summary>Turns a name into text.</summary>
    /// <returns>EINVAL if the host can have no such name.</returns>
    public Errno TryDecode(FileName name, out string text)
    {
        text = "";
        try
        {
            text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(name.Bytes);
        }
        catch (DecoderFallbackException)
        {
            return Errno.EINVAL;
        }

        return _hasWindowsNames && !IsWindowsName(text) ? Errno.EINVAL : Errno.None;
    }

    /// <summary>The full path of a file whose components are all folders and no links, apart from the last.</summary>
    /// <param name="relative">Names joined by '/', or empty for the root.</param>
    /// <param name="path">The path.</param>
    /// <returns>ENOTDIR if one is no plain folder, ENOENT if one is missing.</returns>
    public Errno TryResolve(string relative, out string path)
    {
        path = RootPath;
        string[] names = relative.Split('/', StringSplitOptions.RemoveEmptyEntries);
        for (int i = 0; i < names.Length; i++)
        {
            path = Path.Combine(path, names[i]);
            if (i == names.Length - 1)
            {
                break;
            }

            DirectoryInfo folder = new(path);
            if ((int)folder.Attributes == -1)
            {
                return Errno.ENOENT;
            }

            if (!folder.Attributes.HasFlag(FileAttributes.Directory) || folder.Attributes.HasFlag(FileAttributes.ReparsePoint))
            {
                return Errno.ENOTDIR;
            }
        }

        return Errno.None;
    }

    public void Add(PathNode node)
    {
        lock (_gate)
        {
            _nodes.Add(node);
        }
    }

    public void Remove(PathNode node)
    {
        lock (_gate)
        {
            _nodes.Remove(node);
        }
    }

    /// <summary>Has the nodes of a file, and of all below it, follow a rename.</summary>
    public void Follow(string oldPath, string newPath)
    {
        lock (_gate)
        {
            foreach (PathNode node in _nodes)
            {
                string path = node.Relative;
                if (path == oldPath || path.StartsWith(oldPath + "/", StringComparison.Ordinal))
                {
                    node.Relative = newPath + path[oldPath.Length..];
                }
            }
        }
    }

    private static bool IsWindowsName(string name)
    {
        string stem = name.Split('.')[0].TrimEnd(' ').ToUpperInvariant();
        bool isDevice = s_reservedNames.Contains(stem)
            || (stem.Length == 4 && (stem.StartsWith("COM", StringComparison.Ordinal) || stem.StartsWith("LPT", StringComparison.Ordinal)) && (char.IsAsciiDigit(stem[3]) || stem[3] is '¹' or '²' or '³'));
        return !isDevice && !name.EndsWith('.') && !name.EndsWith(' ') && !name.Any(character => character < ' ' || "<>:\"/\\|?*".Contains(character));
    }
}
