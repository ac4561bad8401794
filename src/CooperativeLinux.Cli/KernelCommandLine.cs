using System.Buffers;

namespace CooperativeLinux.Cli;

/// <summary>Puts the kernel's command line together.</summary>
internal static class KernelCommandLine
{
    /// <summary>The start of every command line, unless it is not wanted: the console, and no boot messages on it.</summary>
    public const string Defaults = "console=hvc0 quiet";

    /// <summary>
    /// For elastic memory: our guests report what they need, and the kernel does not clear what it gives back, which the host
    /// does by taking it.
    /// </summary>
    public const string Elastic = "colinux.balloon xen_scrub_pages=0";

    /// <summary>
    /// For disks: requests of up to 1 MiB. The kernel's driver makes them of 128 KiB otherwise, and each costs the guest a pass through
    /// its block layer and an interrupt. And no scheduler by default, which the kernel gives to each disk with one queue: it hands requests
    /// over to a kernel thread, two switches for each, and the host has its own.
    /// </summary>
    public const string Disks = "xen_blkfront.max_indirect_segments=256 initcall_blacklist=deadline_init";

    /// <summary>The longest command line the kernel takes, in bytes without the ending zero (COMMAND_LINE_SIZE on x86).</summary>
    public const int MaximumLength = 2047;

    private static readonly SearchValues<char> TerminalNameCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-+_");

    /// <summary>Joins the parts. A word <c>TERM=...</c> ends up in the environment of the guest's first process.</summary>
    /// <param name="withDefaults">Whether to start with <see cref="Defaults"/> and the terminal's type.</param>
    /// <param name="terminal">The type of the terminal, or null.</param>
    /// <param name="appended">What the user adds; later words win.</param>
    /// <exception cref="UserException">The result is too long or not plain text.</exception>
    public static string Create(bool withDefaults, string? terminal, IReadOnlyList<string> appended)
    {
        List<string> parts = [];
        if (withDefaults)
        {
            parts.Add(Defaults);

            // A dot would make it a parameter of a module in the kernel's eyes; anything else odd could add words.
            if (!string.IsNullOrEmpty(terminal) && terminal != "dumb" && !terminal.AsSpan().ContainsAnyExcept(TerminalNameCharacters))
            {
                parts.Add("TERM=" + terminal);
            }
        }

        parts.AddRange(appended.Select(part => part.Trim()).Where(part => part.Length > 0));
        string line = string.Join(' ', parts);
        return Check(line) is string wrong ? throw new UserException(ExitCode.Usage, wrong) : line;
    }

    /// <summary>Whether the kernel takes a line, or a part of one.</summary>
    /// <returns>What is wrong with it, or null.</returns>
    public static string? Check(string line)
    {
        int length = System.Text.Encoding.UTF8.GetByteCount(line);
        return line.Any(char.IsControl) ? "the kernel's command line (--append) must be one line of text"
            : length > MaximumLength ? $"the kernel's command line (--append) has {length} bytes; the most is {MaximumLength}"
            : null;
    }
}
