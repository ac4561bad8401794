namespace CooperativeLinux.Cli;

/// <summary>Ends a command with an exit code and one line for the user.</summary>
internal sealed class UserException(ExitCode code, string message, Exception? innerException = null)
    : Exception(message, innerException)
{
    /// <summary>The exit code.</summary>
    public ExitCode Code => code;
}
