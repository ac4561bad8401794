namespace CooperativeLinux.Bench;

/// <summary>The command line is wrong; the message is one line for the user.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>Something a benchmark needs is missing or failed; the message is one line for the user.</summary>
internal sealed class BenchException(string message) : Exception(message);
