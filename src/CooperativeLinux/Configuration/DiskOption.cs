using CooperativeLinux.Devices.Block;

namespace CooperativeLinux.Configuration;

/// <summary>One disk of a machine, as people write it: <c>FILE[,ro][,overlay=FILE][,name=xvdb]</c>. A comma in a file name is
/// written twice.</summary>
public sealed record DiskOption
{
    /// <summary>What the text looks like, for help.</summary>
    public const string Syntax = "FILE[,ro][,overlay=FILE][,name=xvdb]";

    /// <summary>File or block device with the content, or with an overlay what the overlay began with.</summary>
    public required string Path { get; init; }

    /// <summary>Whether the guest may not write it.</summary>
    public bool IsReadOnly { get; init; }

    /// <summary>File that receives what the guest writes, so that <see cref="Path"/> stays as it is; or null.</summary>
    public string? OverlayPath { get; init; }

    /// <summary>Name in the guest, such as <c>xvdb</c>; null: the first that is free.</summary>
    public string? Name { get; init; }

    /// <summary>Reads a disk.</summary>
    /// <param name="text">The text.</param>
    /// <param name="option">The disk.</param>
    /// <param name="error">Why the text is none, as the end of a sentence.</param>
    /// <returns>Whether it is one.</returns>
    public static bool TryParse(string? text, out DiskOption option, out string error)
    {
        List<string> parts = Split(text ?? "");
        option = new DiskOption { Path = parts[0] };
        error = parts[0].Length == 0 ? $"it names no file; a disk is {Syntax}" : "";
        foreach (string part in parts.Skip(1))
        {
            if (error.Length > 0)
            {
                break;
            }

            (string key, string? value) = part.Split('=', 2) is [string before, string after] ? (before, after) : (part, null);
            switch (key, value)
            {
                case ("ro", null):
                    option = option with { IsReadOnly = true };
                    break;
                case ("overlay", { Length: > 0 }):
                    option = option with { OverlayPath = value };
                    break;
                case ("name", { Length: > 0 }):
                    option = option with { Name = value };
                    error = BlockDeviceName.TryParse(value, out _) ? "" : $"a disk's name is xvda, xvdb and so on, and not '{value}'";
                    break;
                default:
                    error = $"'{part}' is none of ro, overlay=FILE and name=xvdb";
                    break;
            }
        }

        return error.Length == 0;
    }

    /// <summary>Finds each disk's number in the guest: the one its name stands for, or the first that is free.</summary>
    /// <param name="disks">The disks, in order.</param>
    /// <param name="indexes">A number for each; see <see cref="BlockDeviceName"/>.</param>
    /// <param name="error">Why there are none, as the end of a sentence.</param>
    /// <returns>Whether there are.</returns>
    public static bool TryAssignNames(IReadOnlyList<DiskOption> disks, out IReadOnlyList<int> indexes, out string error)
    {
        HashSet<int> taken = [];
        List<int> result = [];
        indexes = result;
        error = "";
        foreach (string name in disks.Select(disk => disk.Name).OfType<string>())
        {
            if (!BlockDeviceName.TryParse(name, out int index) || !taken.Add(index))
            {
                error = $"the name {name} cannot be given to two disks";
                return false;
            }
        }

        foreach (DiskOption disk in disks)
        {
            if (disk.Name is null)
            {
                int free = Enumerable.Range(0, BlockDeviceName.Count).FirstOrDefault(taken.Add, -1);
                if (free < 0)
                {
                    error = $"a machine has at most {BlockDeviceName.Count} disks";
                    return false;
                }

                result.Add(free);
            }
            else if (BlockDeviceName.TryParse(disk.Name, out int index))
            {
                result.Add(index);
            }
        }

        return true;
    }

    /// <summary>The same with paths that do not depend on the current folder.</summary>
    /// <param name="folder">Where relative paths begin.</param>
    public DiskOption WithFullPaths(string folder) => this with
    {
        Path = System.IO.Path.GetFullPath(Path, folder),
        OverlayPath = OverlayPath is null ? null : System.IO.Path.GetFullPath(OverlayPath, folder),
    };

    /// <summary>Splits at single commas.</summary>
    private static List<string> Split(string text)
    {
        List<string> parts = [""];
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != ',')
            {
                parts[^1] += text[i];
            }
            else if (i + 1 < text.Length && text[i + 1] == ',')
            {
                parts[^1] += ',';
                i++;
            }
            else
            {
                parts.Add("");
            }
        }

        return parts;
    }
}
