using System.Diagnostics.CodeAnalysis;
using CooperativeLinux.Devices.FileShare;

namespace CooperativeLinux.Configuration;

/// <summary>Reads shared folders as people write them: <c>DIR[:TAG][,ro][,owner=map|keep]</c>.</summary>
public static class ShareOption
{
    /// <summary>The form, for help and messages.</summary>
    public const string Form = "DIR[:TAG][,ro][,owner=map|keep]";

    /// <summary>Reads a share.</summary>
    /// <param name="text">The text. A colon in the folder's own name is no trouble if a tag follows or the folder exists.</param>
    /// <param name="share">The share, with the folder's full path; without a tag it is the folder's name.</param>
    /// <param name="error">Why the text is none, as the end of a sentence.</param>
    public static bool TryParse(string? text, [NotNullWhen(true)] out FileShareOptions? share, out string error)
    {
        share = null;
        string[] parts = (text ?? "").Split(',');
        (string folder, string? tag) = SplitTag(parts[0]);
        if (folder.Length == 0)
        {
            error = $"the form is {Form}";
            return false;
        }

        string path = Path.GetFullPath(folder);
        FileShareOptions result = new(path, tag ?? DefaultTag(path));
        if (!IsTag(result.Tag))
        {
            error = $"a tag has letters, digits, '-', '_' and '.', and at most {FileShareOptions.MaxTagLength} of them; '{result.Tag}' is none";
            return false;
        }

        foreach (string option in parts.Skip(1))
        {
            switch (option)
            {
                case "ro":
                    result = result with { IsReadOnly = true };
                    break;
                case "rw":
                    result = result with { IsReadOnly = false };
                    break;
                case "owner=map":
                    result = result with { Owner = OwnerPolicy.Map };
                    break;
                case "owner=keep" when OperatingSystem.IsWindows():
                    error = "owner=keep does not exist on Windows, whose files have no user and group numbers; leave it out";
                    return false;
                case "owner=keep":
                    result = result with { Owner = OwnerPolicy.Keep };
                    break;
                default:
                    error = $"'{option}' is none of ro, owner=map and owner=keep (a folder with a comma in its name can be shared through a link)";
                    return false;
            }
        }

        error = Directory.Exists(path) ? "" : File.Exists(path) ? $"{path} is not a folder" : $"the folder {path} does not exist";
        share = error.Length == 0 ? result : null;
        return share is not null;
    }

    /// <summary>Finds what shares cannot have together.</summary>
    /// <returns>What is wrong, or null.</returns>
    public static string? FindConflict(IEnumerable<FileShareOptions> shares)
    {
        IGrouping<string, FileShareOptions>? twice = shares.GroupBy(share => share.Tag, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1);
        return twice is null ? null : $"the tag {twice.Key} is given to {twice.First().Folder} and {twice.ElementAt(1).Folder}; give one of them another, as DIR:TAG";
    }

    private static bool IsTag(string tag) =>
        tag.Length is > 0 and <= FileShareOptions.MaxTagLength
        && tag.All(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.')
        && tag.Trim('.').Length > 0;

    private static string DefaultTag(string path)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(path));
        string tag = new([.. name.Select(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.' ? character : '_')]);
        tag = tag.Length <= FileShareOptions.MaxTagLength ? tag : tag[..FileShareOptions.MaxTagLength];
        return IsTag(tag) ? tag : "share";
    }

    private static (string Folder, string? Tag) SplitTag(string text)
    {
        int colon = text.LastIndexOf(':');
        bool isDrive = OperatingSystem.IsWindows() && colon == 1;
        if (colon < 0 || isDrive || text.AsSpan(colon).ContainsAny('/', Path.DirectorySeparatorChar) || Directory.Exists(text))
        {
            return (text, null);
        }

        return (text[..colon], text[(colon + 1)..]);
    }
}
