using System.Text;

namespace CooperativeLinux.Bench;

/// <summary>Rows of text in aligned columns: the first left, the others right.</summary>
internal sealed class TextTable(params string[] header)
{
    private readonly List<string[]> _rows = [header];

    public void Add(params string[] cells) => _rows.Add(cells);

    /// <summary>For a terminal.</summary>
    public override string ToString()
    {
        int[] widths = [.. Enumerable.Range(0, _rows[0].Length).Select(column => _rows.Max(row => row[column].Length))];
        StringBuilder text = new();
        foreach (string[] row in _rows)
        {
            IEnumerable<string> cells = row.Select((cell, column) => column == 0 ? cell.PadRight(widths[0]) : cell.PadLeft(widths[column]));
            text.AppendLine(string.Join("  ", cells).TrimEnd());
        }

        return text.ToString();
    }

    /// <summary>For a page of the documentation.</summary>
    public string ToMarkdown()
    {
        StringBuilder text = new();
        for (int row = 0; row < _rows.Count; row++)
        {
            text.AppendLine($"| {string.Join(" | ", _rows[row])} |");
            if (row == 0)
            {
                text.AppendLine("|---|" + string.Concat(Enumerable.Repeat("---:|", _rows[0].Length - 1)));
            }
        }

        return text.ToString();
    }
}
