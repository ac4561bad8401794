using System.Runtime.InteropServices;

namespace CooperativeLinux.Host;

/// <summary>A call of the host's operating system failed. The message names the call and the host's error.</summary>
public sealed class HostCallException : Exception
{
    /// <param name="call">Name of the call, with the arguments that matter.</param>
    /// <param name="error">errno on Linux, GetLastError on Windows.</param>
    public HostCallException(string call, int error)
        : base(Describe(call, error))
    {
        Call = call;
        Error = error;
    }

    /// <summary>The call that failed.</summary>
    public string Call { get; }

    /// <summary>errno on Linux, GetLastError on Windows.</summary>
    public int Error { get; }

    /// <summary>The error of the last P/Invoke on this thread, as an exception.</summary>
    internal static HostCallException FromLast(string call) => new(call, Marshal.GetLastPInvokeError());

    /// <summary>One line: the call, the error number and the host's words for it.</summary>
    internal static string Describe(string call, int error) =>
        $"{call} failed: error {error}, {Marshal.GetPInvokeErrorMessage(error).TrimEnd('.', '\r', '\n', ' ')}.";
}
