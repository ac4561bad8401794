namespace CooperativeLinux.Monitor.Store;

/// <summary>Rules for node paths: absolute ones start with a slash; parts are letters, digits and "-_@", never empty.</summary>
public static class StorePath
{
    /// <summary>Most characters of an absolute path.</summary>
    public const int MaxAbsolute = 3072;

    /// <summary>Most characters of a path given relative to a domain's own directory.</summary>
    public const int MaxRelative = 2048;

    /// <summary>A domain's own directory, /local/domain/N.</summary>
    public static string OfDomain(int domain) => $"/local/domain/{domain}";

    /// <summary>The parent of an absolute path other than the root.</summary>
    public static string Parent(string path)
    {
        int slash = path.LastIndexOf('/');
        return slash <= 0 ? "/" : path[..slash];
    }

    /// <summary>The last part.</summary>
    public static string Name(string path) => path[(path.LastIndexOf('/') + 1)..];

    /// <summary>Whether <paramref name="path"/> is <paramref name="ancestor"/> or lies below it.</summary>
    public static bool IsAtOrBelow(string path, string ancestor) =>
        ancestor == "/"
        || (path.StartsWith(ancestor, StringComparison.Ordinal) && (path.Length == ancestor.Length || path[ancestor.Length] == '/'));

    /// <summary>Whether it names one of the special watches, such as @releaseDomain.</summary>
    public static bool IsSpecial(string path) => path.StartsWith('@');

    /// <summary>Makes a guest's path absolute and checks it.</summary>
    /// <param name="path">Absolute, or relative to the domain's own directory.</param>
    /// <param name="domain">The guest's domain.</param>
    /// <param name="absolute">The absolute path.</param>
    public static bool TryResolve(string path, int domain, out string absolute)
    {
        bool isRelative = !path.StartsWith('/');
        absolute = isRelative ? $"{OfDomain(domain)}/{path}" : path;
        return path.Length <= (isRelative ? MaxRelative : MaxAbsolute) && IsValid(absolute);
    }

    /// <summary>Whether an absolute path keeps the rules.</summary>
    public static bool IsValid(string path)
    {
        if (path == "/")
        {
            return true;
        }

        if (path.Length is 0 or > MaxAbsolute || path[0] != '/' || path[^1] == '/')
        {
            return false;
        }

        for (int i = 1; i < path.Length; i++)
        {
            char c = path[i];
            bool isAllowed = char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '@' || (c == '/' && path[i - 1] != '/');
            if (!isAllowed)
            {
                return false;
            }
        }

        return true;
    }
}
