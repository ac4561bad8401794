using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Sys;

/// <summary>The standard handles of a Windows process: input, output, errors.</summary>
internal static partial class WindowsStandardHandles
{
    // winbase.h: STD_INPUT_HANDLE, STD_OUTPUT_HANDLE and STD_ERROR_HANDLE, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE.
    private const int Input = -10, Output = -11, Errors = -12;
    private const uint Inherit = 1;
    private const nint Invalid = -1;

    /// <summary>
    /// Makes them no handles that a new process inherits. The shell that started this one made them so, and a process that is started
    /// with handles of its own inherits all others that are ("CreateProcessW function", bInheritHandles).
    /// </summary>
    /// <exception cref="HostCallException">The host refuses.</exception>
    public static void Keep()
    {
        foreach (int which in (ReadOnlySpan<int>)[Input, Output, Errors])
        {
            nint handle = GetStandardHandle(which);
            if (handle is not (0 or Invalid) && !SetHandleInformation(handle, Inherit, 0))
            {
                throw HostCallException.FromLast("SetHandleInformation");
            }
        }
    }

    [LibraryImport("kernel32", EntryPoint = "GetStdHandle", SetLastError = true)]
    private static partial nint GetStandardHandle(int which);

    [LibraryImport("kernel32", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool SetHandleInformation(nint handle, uint mask, uint flags);
}
