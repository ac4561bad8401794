using System.Globalization;

namespace CooperativeLinux.Programs.Tests;

/// <summary>What the programs of one run printed, by name, from the marks that <c>Guest/run-all</c> prints.</summary>
internal sealed class ProgramOutputs
{
    private readonly Dictionary<string, (string Text, int? Status)> _outputs = [];

    /// <summary>Takes a run apart.</summary>
    /// <param name="text">All that was printed, with line feeds only.</param>
    public ProgramOutputs(string text)
    {
        Text = text;
        const string Begin = "\n=== ";
        const string End = "\n=== exit ";
        int position = 0;
        while ((position = text.IndexOf(Begin, position, StringComparison.Ordinal)) >= 0)
        {
            int line = text.IndexOf('\n', position + 1);
            if (line < 0)
            {
                break;
            }

            string name = text[(position + Begin.Length)..line];
            int end = text.IndexOf(End, line, StringComparison.Ordinal);
            int? status = null;
            if (end >= 0)
            {
                string digits = new([.. text[(end + End.Length)..].TakeWhile(char.IsAsciiDigit)]);
                status = int.Parse(digits, CultureInfo.InvariantCulture);
            }

            _outputs[name] = (text[(line + 1)..(end < 0 ? text.Length : Math.Max(end, line + 1))], status);
            position = end < 0 ? text.Length : end + 1;
        }
    }

    /// <summary>Everything that was printed.</summary>
    public string Text { get; }

    /// <summary>The output and exit status of one program; no status if it did not end, null if it never began.</summary>
    public (string Text, int? Status)? Find(string name)
    {
        return _outputs.TryGetValue(name, out (string Text, int? Status) output) ? output : null;
    }
}
