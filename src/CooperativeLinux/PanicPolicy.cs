using System.Globalization;
using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux;

/// <summary>
/// Whether a guest whose kernel panicked is to start again. A PV kernel reports every panic as a crash, and leaves it to its
/// host what follows; here its own setting counts, as on a machine of its own: <c>panic=SECONDS</c> on its command line
/// (negative: at once; 0 or none: no restart), or the same setting made later, which shows in its last words.
/// </summary>
internal static class PanicPolicy
{
    private const string Parameter = "panic=";

    /// <summary>What kernel/panic.c prints before it waits for a restart.</summary>
    private const string Announcement = "Rebooting in ";

    /// <summary>Whether to start the guest again after this outcome.</summary>
    public static bool AsksForRestart(string commandLine, DomainOutcome outcome)
    {
        return outcome.Panic != null && (
            IsSet(commandLine) || outcome.LastConsoleLines.Any(line => line.Contains(Announcement, StringComparison.Ordinal)));
    }

    private static bool IsSet(string commandLine)
    {
        bool isSet = false;
        foreach (string word in Words(commandLine))
        {
            // What follows is for the first process.
            if (word == "--")
            {
                break;
            }

            if (word.StartsWith(Parameter, StringComparison.Ordinal)
                && int.TryParse(word.AsSpan(Parameter.Length), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int seconds))
            {
                isSet = seconds != 0;
            }
        }

        return isSet;
    }

    /// <summary>Splits at blanks outside of double quotes, as the kernel does.</summary>
    private static IEnumerable<string> Words(string commandLine)
    {
        bool isQuoted = false;
        int start = 0;
        for (int i = 0; i <= commandLine.Length; i++)
        {
            if (i == commandLine.Length || (commandLine[i] == ' ' && !isQuoted))
            {
                yield return commandLine[start..i].Trim('"');
                start = i + 1;
            }
            else if (commandLine[i] == '"')
            {
                isQuoted = !isQuoted;
            }
        }
    }
}
