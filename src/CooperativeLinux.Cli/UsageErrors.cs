using System.CommandLine;
using System.CommandLine.Parsing;

namespace CooperativeLinux.Cli;

/// <summary>Says what is wrong with a command line, in words for people.</summary>
internal static class UsageErrors
{
    /// <summary>The first thing that is wrong.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="words">Its words as they were given.</param>
    /// <returns>What it is and what to do, or null if nothing is wrong.</returns>
    public static string? Find(ParseResult parsed, IEnumerable<string> words)
    {
        Command command = parsed.CommandResult.Command;
        foreach (string word in words.TakeWhile(word => word != "--"))
        {
            // The parser would take the value for the next argument.
            string name = word.Split('=')[0];
            if (name.Length < word.Length && command.Options.Any(option => IsFlag(option) && (option.Name == name || option.Aliases.Contains(name))))
            {
                return $"{name} takes no value";
            }
        }

        if (parsed.UnmatchedTokens.Count > 0)
        {
            return Unmatched(parsed.UnmatchedTokens[0], command);
        }

        if (parsed.Errors.Count > 0 && command.Subcommands.Count > 0)
        {
            return $"'{NameOf(parsed.CommandResult)}' needs a command: {string.Join(", ", command.Subcommands.Where(part => !part.Hidden).Select(part => part.Name))}";
        }

        IEnumerable<string?> own = parsed.CommandResult.Children.Select(child => child switch
        {
            OptionResult option => OfOption(option),
            ArgumentResult argument => OfArgument(argument),
            _ => null,
        });
        return own.FirstOrDefault(error => error != null)
            ?? (Missing(parsed.CommandResult) is string missing ? $"'{NameOf(parsed.CommandResult)}' needs a {missing}" : null)
            ?? (parsed.Errors.Count > 0 ? parsed.Errors[0].Message : null);
    }

    /// <summary>The command's full name, such as <c>colinux disk create</c>.</summary>
    public static string NameOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{NameOf(parent)} {result.Command.Name}" : "colinux";

    private static string Unmatched(string word, Command command) =>
        word.StartsWith('-') ? $"unknown option '{word}'"
        : command.Subcommands.Count > 0 ? $"unknown command '{word}'"
        : $"'{word}' is one word too many";

    private static string? Missing(CommandResult result) => result.Command.Arguments
        .FirstOrDefault(argument => argument.Arity.MinimumNumberOfValues > (result.GetResult(argument)?.Tokens.Count ?? 0))?.Name;

    private static string? OfOption(OptionResult result)
    {
        Option option = result.Option;
        if (result.Implicit || option.Arity.MaximumNumberOfValues == 0)
        {
            return null;
        }

        string takes = option.HelpName ?? "a value";
        return result.Tokens.Count == 0 ? $"{option.Name} needs a value: {takes}"
            : result.IdentifierTokenCount > 1 && option.Arity.MaximumNumberOfValues == 1 ? $"{option.Name} can be given only once"
            : !TakesEmpty(option) && result.Tokens.Any(token => token.Value.Length == 0) ? $"the value of {option.Name} is empty; it takes {takes}"
            : null;
    }

    private static string? OfArgument(ArgumentResult result)
    {
        Argument argument = result.Argument;
        return result.Tokens.Count > 0 && result.Tokens[0].Value.Length == 0 ? $"{argument.Name} is empty" : null;
    }

    private static bool IsFlag(Option option) => option.ValueType == typeof(bool);

    // Nothing may be added to a text.
    private static bool TakesEmpty(Option option) => option.HelpName == Commands.GuestOptions.AnyText;
}
