using System.Text;

namespace CooperativeLinux.Commands;

/// <summary>A program to run in a guest, as its root, without input.</summary>
/// <param name="Program">Its name, looked up in the guest's PATH, or its path.</param>
/// <param name="Arguments">Its arguments, passed as they are: no shell looks at them.</param>
public sealed record GuestCommand(string Program, params IReadOnlyList<string> Arguments)
{
    /// <summary>The longest command with folder and environment, in bytes of UTF-8.</summary>
    public const int MaxLength = 1 << 20;

    /// <summary>The folder it starts in; null: root's home.</summary>
    public string? Folder { get; init; }

    /// <summary>Variables added to its environment.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>How long to wait for a guest that does not take commands yet, since it is still booting.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>The command as a script for <c>/bin/sh</c>.</summary>
    /// <exception cref="ArgumentException">Something in it cannot be passed to a program.</exception>
    internal byte[] ToScript()
    {
        StringBuilder script = new();
        if (Folder is string folder)
        {
            // 126, as shells have it for a command that is there and cannot be run.
            script.Append("cd -- ").Append(Quote(folder)).Append(" || exit 126\n");
        }

        foreach ((string name, string value) in Environment)
        {
            if (name.Length == 0 || char.IsAsciiDigit(name[0]) || !name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_'))
            {
                throw new ArgumentException($"'{name}' is no name of a variable");
            }

            script.Append("export ").Append(name).Append('=').Append(Quote(value)).Append('\n');
        }

        script.Append("exec ").AppendJoin(' ', Arguments.Prepend(Program).Select(Quote)).Append('\n');
        byte[] bytes = Encoding.UTF8.GetBytes(script.ToString());
        return bytes.Length <= MaxLength ? bytes : throw new ArgumentException($"the command has {bytes.Length} bytes; the most is {MaxLength}");
    }

    private static string Quote(string text) => text.Contains('\0', StringComparison.Ordinal)
        ? throw new ArgumentException("an argument contains a zero byte")
        : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
