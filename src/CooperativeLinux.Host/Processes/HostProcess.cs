using CooperativeLinux.Host.Sys;

namespace CooperativeLinux.Host.Processes;

/// <summary>This process in the eyes of the host.</summary>
public static class HostProcess
{
    /// <summary>Makes this process independent of the terminal and the job it was started from: on Linux it gets a session of its own, so
    /// that no hang-up and no key reaches it. On Windows a process that was started without a window is so already.</summary>
    /// <exception cref="HostCallException">The host refuses; a process that leads its group cannot.</exception>
    public static void Detach() => HostPlatform.Create().DetachProcess();

    /// <summary>Keeps standard input, output and error from the programs that this process starts from now on with streams of their own.
    /// On Windows such a program gets those of this process beside its own, and whoever reads from this process would wait for the
    /// end of that program too. On Linux its own take their place.</summary>
    /// <exception cref="HostCallException">The host refuses.</exception>
    public static void KeepStandardStreams() => HostPlatform.Create().KeepStandardStreams();
}
