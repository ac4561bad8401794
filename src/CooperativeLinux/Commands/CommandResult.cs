namespace CooperativeLinux.Commands;

/// <summary>What a command in a guest has said, and how it ended.</summary>
/// <param name="ExitCode">Its exit status; 128 and the number of the signal that ended it; 127: there is no such program.</param>
/// <param name="Output">Its standard output, as UTF-8.</param>
/// <param name="Errors">Its standard error, as UTF-8.</param>
public sealed record CommandResult(int ExitCode, string Output, string Errors);
