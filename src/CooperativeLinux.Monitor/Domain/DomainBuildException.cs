namespace CooperativeLinux.Monitor.Domain;

/// <summary>A machine cannot be built as asked; the message is one line that says why.</summary>
public sealed class DomainBuildException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">One line for the user.</param>
    public DomainBuildException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    /// <param name="message">One line for the user.</param>
    /// <param name="innerException">The cause.</param>
    public DomainBuildException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
