namespace CooperativeLinux.Cli;

/// <summary>Writes errors for people: one line each, with the program's name in front.</summary>
internal static class ErrorReport
{
    /// <summary>Set to see the details of internal errors.</summary>
    public const string DetailsVariable = "COLINUX_DETAILS";

    /// <summary>Writes a message as one line.</summary>
    public static void Write(TextWriter error, string message)
    {
        error.WriteLine("colinux: " + OneLine(message));
    }

    /// <summary>Writes a fault of our own: one line, and the details only for those who ask for them.</summary>
    public static void WriteInternalError(TextWriter error, Exception? exception)
    {
        Write(error, $"internal error: {exception?.GetType().Name}: {exception?.Message} (set {DetailsVariable}=1 for details)");
        if (!string.IsNullOrEmpty(Environment.GetEnvironmentVariable(DetailsVariable)))
        {
            error.WriteLine(exception);
        }
    }

    /// <summary>Joins the lines of a message.</summary>
    public static string OneLine(string message)
    {
        return string.Join(' ', message.Split(['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }
}
