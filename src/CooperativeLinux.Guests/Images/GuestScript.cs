using CooperativeLinux.Guests.Files;

namespace CooperativeLinux.Guests.Images;

/// <summary>
/// A small archive that, given to the kernel after one of our guests, makes it run a script instead of a shell.
/// The guest prints <see cref="BeginLine"/> before the script's output and <see cref="ExitPrefix"/> with the exit
/// status on a line of its own after it, and then switches itself off.
/// </summary>
public static class GuestScript
{
    /// <summary>The line before the output of the script.</summary>
    public const string BeginLine = "colinux: begin";

    /// <summary>What the line after the output begins with; the decimal exit status follows.</summary>
    public const string ExitPrefix = "colinux: exit ";

    /// <summary>Writes the archive.</summary>
    /// <param name="path">The file to write.</param>
    /// <param name="script">The script; without a <c>#!</c> line it is run by <c>/bin/sh</c>.</param>
    /// <param name="files">More files for the guest, or null.</param>
    /// <param name="cancellationToken">Stops the writing.</param>
    public static async Task WriteAsync(
        string path, string script, FileTree? files = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(script);
        FileTree tree = files ?? new FileTree();
        tree.AddText("colinux/run", script.StartsWith("#!", StringComparison.Ordinal) ? script : "#!/bin/sh\n" + script, 0b111_101_101);
        await CpioWriter.WriteAsync(tree, path, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Takes the script's output and exit status out of what the guest's console showed.</summary>
    /// <returns>Null if the script did not come to its end.</returns>
    public static (string Output, int ExitStatus)? Parse(string console)
    {
        ArgumentNullException.ThrowIfNull(console);
        string text = console.Replace("\r\n", "\n", StringComparison.Ordinal);
        int begin = text.IndexOf(BeginLine + "\n", StringComparison.Ordinal);
        int end = text.LastIndexOf("\n" + ExitPrefix, StringComparison.Ordinal);
        int start = begin + BeginLine.Length + 1;
        if (begin < 0 || end < start - 1)
        {
            return null;
        }

        string status = new([.. text[(end + 1 + ExitPrefix.Length)..].TakeWhile(char.IsAsciiDigit)]);
        return int.TryParse(status, out int value) ? (end < start ? "" : text[start..end], value) : null;
    }
}
