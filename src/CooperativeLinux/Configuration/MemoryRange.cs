namespace CooperativeLinux.Configuration;

/// <summary>How much memory of the host a machine takes: at most, and what it keeps even when it needs less.</summary>
/// <param name="Least">Bytes never taken back; equal to <paramref name="Most"/> if nothing is.</param>
/// <param name="Most">Bytes the guest sees.</param>
public readonly record struct MemoryRange(long Least, long Most)
{
    private const string Separator = "..";

    /// <summary>Whether memory the guest does not need goes back to the host.</summary>
    public bool IsElastic => Least < Most;

    /// <summary>Reads a size (<see cref="MemorySize"/>) or two with two dots between them, such as <c>256M..2G</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="range">The range.</param>
    /// <param name="error">Why the text is none, as the end of a sentence.</param>
    /// <returns>True if it is one.</returns>
    public static bool TryParse(string? text, out MemoryRange range, out string error)
    {
        text ??= "";
        int dots = text.IndexOf(Separator, StringComparison.Ordinal);
        string first = dots < 0 ? text : text[..dots];
        string second = dots < 0 ? text : text[(dots + Separator.Length)..];
        range = default;
        if (!MemorySize.TryParse(first, out long least, out error) || !MemorySize.TryParse(second, out long most, out error))
        {
            return false;
        }

        if (least > most)
        {
            error = $"{MemorySize.Format(least)} is more than {MemorySize.Format(most)}; the smaller size comes first";
            return false;
        }

        range = new MemoryRange(least, most);
        return true;
    }
}
