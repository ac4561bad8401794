using System.CommandLine;
using System.CommandLine.Help;

namespace CooperativeLinux.Cli.Tests;

/// <summary>All commands with all their options and arguments: help, examples in the documents, and what bad values lead to.</summary>
[Collection(nameof(MachineCommandTests))]
public sealed class CommandLineTests(CommandLineFiles files) : IClassFixture<CommandLineFiles>
{
    private static readonly IReadOnlyList<(string Name, Command Command)> _commands = [.. Walk("", new Application(TextWriter.Null, TextWriter.Null, Machine.RunAsync).Root).Skip(1)];

    // "colinux run" also stands for "./colinux run" and "$ colinux run".
    private static readonly IReadOnlyList<string[]> _examples = [.. ReadExamples()];

    private static string Root => Path.GetFullPath("../../../../..", AppContext.BaseDirectory);

    /// <summary>Each bad value: the option or argument, the value, and the exit code.</summary>
    public static TheoryData<string, string, int> Values()
    {
        TheoryData<string, string, int> rows = [];
        foreach (BadValues values in BadValues.All)
        {
            foreach ((ExitCode code, string value) in values.Unusable.SelectMany(some => some.Values.Select(value => (some.Code, value))).Concat(values.Wrong.Select(value => (ExitCode.Usage, value))))
            {
                rows.Add(values.Key, value, (int)code);
            }
        }

        return rows;
    }

    public static TheoryData<string> OptionKeys() => [.. BadValues.All.Where(values => values.IsOption).Select(values => values.Key)];

    public static TheoryData<string> Flags() => [.. _commands.SelectMany(pair => Options(pair.Command).Where(IsFlag).Select(option => $"{pair.Name} {option.Name}"))];

    [Fact]
    public void Help_EveryCommandOptionAndArgument_IsDescribed()
    {
        IEnumerable<(string Name, string? Description)> all = _commands.SelectMany(pair => (IEnumerable<(string, string?)>)
        [
            (pair.Name, pair.Command.Description),
            .. Options(pair.Command).Select(option => ($"{pair.Name} {option.Name}", option.Description)),
            .. pair.Command.Arguments.Select(argument => ($"{pair.Name} {argument.Name}", argument.Description)),
        ]);

        Assert.Equal([], all.Where(pair => pair.Description is not { Length: > 10 }).Select(pair => pair.Name));

        // The help shows what a value looks like.
        Assert.Equal([], _commands.SelectMany(pair => Options(pair.Command).Where(option => !IsFlag(option) && option.HelpName is null).Select(option => $"{pair.Name} {option.Name}")));
    }

    [Fact]
    public void Documents_EveryCommandAndOption_HasAnExample()
    {
        string[] missing =
        [
            .. _commands.Where(pair => pair.Command.Subcommands.Count == 0 && !_examples.Any(example => IsOf(example, pair.Name))).Select(pair => pair.Name),
            .. _commands.SelectMany(pair => Options(pair.Command)
                .Where(option => !_examples.Any(example => (IsOf(example, pair.Name) || (pair.Name == "start" && IsOf(example, "run"))) && Uses(example, option)))
                .Select(option => $"{pair.Name} {option.Name}")),
        ];

        Assert.Equal([], missing);
    }

    [Fact]
    public void BadValues_EveryOptionAndArgumentWithAValue_HasSome()
    {
        IEnumerable<string> keys = _commands.SelectMany(pair => (IEnumerable<string>)
        [
            .. Options(pair.Command).Where(option => !IsFlag(option)).Select(option => $"{pair.Name} {option.Name}"),
            .. pair.Command.Arguments.Select(argument => $"{pair.Name} {argument.Name}"),
        ]);

        Assert.Equal(keys.Order(StringComparer.Ordinal), BadValues.All.Select(values => values.Key).Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Values))]
    public async Task RunAsync_BadValue_IsOneClearLineAndChangesNothing(string key, string value, int expected)
    {
        Assert.SkipUnless(CommandLineFiles.CanTry(value), "not on this host");
        await RefuseAsync(key, values => WordsOf(values, value), (ExitCode)expected);
    }

    [Theory]
    [MemberData(nameof(OptionKeys))]
    public async Task RunAsync_OptionWithoutValueOrTwice_IsOneClearLine(string key)
    {
        BadValues values = BadValues.All.First(values => values.Key == key);
        Option option = Options(_commands.First(pair => $"{pair.Name} {values.Name}" == key).Command).First(option => option.Name == values.Name);

        Assert.Contains("needs a value", await RefuseAsync(key, values => WordsOf(values, "")[..^1], ExitCode.Usage), StringComparison.Ordinal);
        if (values.Name != "--append")
        {
            Assert.Contains("empty", await RefuseAsync(key, values => WordsOf(values, ""), ExitCode.Usage), StringComparison.Ordinal);
        }

        if (option.Arity.MaximumNumberOfValues == 1)
        {
            Assert.Contains("only once", await RefuseAsync(key, values => [.. WordsOf(values, "1"), values.Name, "2"], ExitCode.Usage), StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(Flags))]
    public async Task RunAsync_FlagWithAValue_IsOneClearLine(string key)
    {
        string[] words = key.Split(' ');
        ConsoleRun run = new();

        Assert.Equal(ExitCode.Usage, await run.RunAsync([.. words[..^1], $"{words[^1]}=2"]));

        Assert.Equal($"colinux: {words[^1]} takes no value", run.ErrorLines[0]);
    }

    /// <summary>Runs a command line that must be refused, with the real machine.</summary>
    /// <returns>The line that says why.</returns>
    private async Task<string> RefuseAsync(string key, Func<BadValues, string[]> words, ExitCode expected)
    {
        string before = files.Describe();
        ConsoleRun run = new() { Machine = Machine.RunAsync };
        string[] arguments = [.. words(BadValues.All.First(values => values.Key == key)).Select(files.Fill)];

        ExitCode code = await run.RunAsync(arguments);

        string all = $"{string.Join(' ', arguments)}:\n{run.Error}";
        Assert.True(expected == code, $"{code} instead of {expected} for {all}");
        Assert.Equal("", run.Output.ToString());
        Assert.Equal(before, files.Describe());
        Assert.StartsWith("colinux: ", run.ErrorLines[0], StringComparison.Ordinal);
        Assert.All((string[])["Exception", "   at ", "Parameter", "parameter", "internal error"], part => Assert.DoesNotContain(part, run.Error.ToString(), StringComparison.Ordinal));
        Assert.Equal(expected == ExitCode.Usage ? 2 : 1, run.ErrorLines.Count);
        Assert.StartsWith("Try 'colinux", run.ErrorLines.ElementAtOrDefault(1) ?? "Try 'colinux", StringComparison.Ordinal);
        return run.ErrorLines[0];
    }

    private static string[] WordsOf(BadValues values, string value) => [.. values.Line.Split(' ').Select(word => word == "{}" ? value : word)];

    private static IEnumerable<(string Name, Command Command)> Walk(string name, Command command) =>
        command.Hidden ? [] : [(name, command), .. command.Subcommands.SelectMany(part => Walk($"{name} {part.Name}".TrimStart(), part))];

    private static IEnumerable<Option> Options(Command command) => command.Options.Where(option => option is not (HelpOption or VersionOption) && !option.Hidden);

    private static bool IsFlag(Option option) => option.ValueType == typeof(bool);

    private static bool IsOf(string[] example, string command) => example.Take(command.Count(' ') + 1).SequenceEqual(command.Split(' '));

    private static bool Uses(string[] example, Option option) =>
        example.Any(word => word.Split('=')[0] is string name && (name == option.Name || option.Aliases.Contains(name)));

    /// <summary>The words after <c>colinux</c> of all command lines in the documents' code blocks.</summary>
    private static IEnumerable<string[]> ReadExamples()
    {
        foreach (string path in Directory.EnumerateFiles(Path.Combine(Root, "docs"), "*.md").Append(Path.Combine(Root, "README.md")))
        {
            bool isCode = false;
            foreach (string line in File.ReadLines(path))
            {
                isCode ^= line.StartsWith("```", StringComparison.Ordinal);
                string[] words = line.Split('#')[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
                int at = Array.FindIndex(words, word => word is "colinux" or "./colinux" or @".\colinux.exe");
                if (isCode && at is 0 or 1)
                {
                    yield return words[(at + 1)..];
                }
            }
        }
    }
}
