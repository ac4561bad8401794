using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Sys;

/// <summary>Calls of libc about this process.</summary>
internal static partial class LinuxProcessCalls
{
    [LibraryImport("libc", EntryPoint = "setsid", SetLastError = true)]
    public static partial int CreateSession();
}
