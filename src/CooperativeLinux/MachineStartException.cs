namespace CooperativeLinux;

/// <summary>A machine could not be started. The message is one line made for the user.</summary>
public sealed class MachineStartException : Exception
{
    /// <summary>Creates the error.</summary>
    /// <param name="failure">What kind of thing was wrong.</param>
    /// <param name="message">What was wrong, on one line.</param>
    /// <param name="innerException">The cause, or null.</param>
    public MachineStartException(MachineStartFailure failure, string message, Exception? innerException = null)
        : base(message, innerException)
    {
        Failure = failure;
    }

    /// <summary>What kind of thing was wrong.</summary>
    public MachineStartFailure Failure { get; }
}
