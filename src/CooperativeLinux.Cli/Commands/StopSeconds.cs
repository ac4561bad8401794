using System.CommandLine.Parsing;
using System.Globalization;

namespace CooperativeLinux.Cli.Commands;

/// <summary>How long a guest may take to shut down, as an option says it.</summary>
internal static class StopSeconds
{
    private const int Most = 86400;

    /// <summary>Reads the value of an option: seconds, with a fraction if need be.</summary>
    public static double? Parse(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        bool isNumber = double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds);

        // Written so that it is false for NaN, which is a number to TryParse.
        if (isNumber && seconds is >= 0 and <= Most)
        {
            return seconds;
        }

        result.AddError($"{((OptionResult)result.Parent!).Option.Name} {text}: it is a number of seconds from 0 to {Most}.");
        return null;
    }
}
