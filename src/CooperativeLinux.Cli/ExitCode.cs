namespace CooperativeLinux.Cli;

/// <summary>
/// The exit codes of <c>colinux</c>, which scripts may rely on (docs/exit-codes.md). The codes of failures of our
/// own follow sysexits(3), those of signals the shell's 128 + number.
/// </summary>
internal enum ExitCode
{
    /// <summary>The command succeeded; for <c>run</c>: the guest switched itself off, or was ended with the escape key.</summary>
    Success = 0,

    /// <summary>Something the command needs could not be had: a download, a file to write, memory of the host.</summary>
    Failed = 1,

    /// <summary>The command line is wrong.</summary>
    Usage = 2,

    /// <summary>The kernel or an initramfs cannot be read or is not one.</summary>
    BadImage = 3,

    /// <summary>The guest's kernel panicked.</summary>
    GuestPanic = 4,

    /// <summary>The guest did something that no processor could go on from.</summary>
    GuestCrash = 5,

    /// <summary>A fault of colinux itself.</summary>
    InternalError = 70,

    /// <summary>Ended by hangup (SIGHUP).</summary>
    Hangup = 128 + 1,

    /// <summary>Ended by Ctrl-C (SIGINT).</summary>
    Interrupted = 128 + 2,

    /// <summary>Ended by a request to terminate (SIGTERM).</summary>
    Terminated = 128 + 15,
}
