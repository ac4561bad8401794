using System.Globalization;

namespace CooperativeLinux.Bench;

/// <summary>Walks over the words of a command line.</summary>
internal ref struct OptionReader(ReadOnlySpan<string> words)
{
    private readonly ReadOnlySpan<string> _words = words;
    private int _next;

    /// <summary>The word last read.</summary>
    public readonly string Word => _words[_next - 1];

    /// <summary>Goes to the next word.</summary>
    public bool Read() => ++_next <= _words.Length;

    /// <summary>The value after the current option.</summary>
    /// <exception cref="UsageException">There is none.</exception>
    public string Text()
    {
        string option = Word;
        return Read() ? Word : throw new UsageException($"{option} needs a value");
    }

    /// <exception cref="UsageException">The value is no whole number from 1 to <paramref name="most"/>.</exception>
    public int Number(int most) => (int)Check(most, NumberStyles.None, 1);

    /// <exception cref="UsageException">The value is no number above 0 and at most <paramref name="most"/>.</exception>
    public double Seconds(double most) => Check(most, NumberStyles.AllowDecimalPoint, 0.001);

    private double Check(double most, NumberStyles styles, double least)
    {
        string option = Word;
        string text = Text();
        return double.TryParse(text, styles, CultureInfo.InvariantCulture, out double value) && value >= least && value <= most
            ? value
            : throw new UsageException(string.Create(CultureInfo.InvariantCulture, $"{option} needs a number from {least} to {most}, not '{text}'"));
    }
}
