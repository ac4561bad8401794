namespace CooperativeLinux.Guests;

/// <summary>
/// A kernel or a guest image could not be obtained. The message is one line made for the user.
/// </summary>
public sealed class GuestBuildException : Exception
{
    /// <summary>Creates the error with a one-line message.</summary>
    public GuestBuildException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the error with a one-line message and its cause.</summary>
    public GuestBuildException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
