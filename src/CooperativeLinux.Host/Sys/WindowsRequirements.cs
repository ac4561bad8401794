using System.Reflection;
using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Sys;

/// <summary>What a Windows process must have, and must not have, to run guests.</summary>
internal static partial class WindowsRequirements
{
    // PROCESS_MITIGATION_POLICY and the first flag of PROCESS_MITIGATION_USER_SHADOW_STACK_POLICY, winnt.h.
    private const int UserShadowStackPolicy = 15;
    private const uint EnableUserShadowStack = 1;

    /// <summary>Checks the calls and the process.</summary>
    /// <returns>One line that says what is in the way, null if nothing is.</returns>
    public static string? Check() => DescribeMissing(RequiredCalls()) ?? DescribeShadowStack(ReadShadowStackFlags());

    /// <summary>The calls of the system that this project makes on Windows, as library and name.</summary>
    internal static IEnumerable<(string Library, string Name)> RequiredCalls() =>
        from type in typeof(WindowsRequirements).Assembly.GetTypes()
        where type.Name.StartsWith("Windows", StringComparison.Ordinal)
        from method in type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
        let call = method.GetCustomAttribute<LibraryImportAttribute>()
        where call is not null && method.Name != nameof(GetProcessMitigationPolicy)
        select (call.LibraryName, call.EntryPoint ?? method.Name);

    /// <summary>Looks the calls up.</summary>
    /// <returns>A line that names the first missing one, null if all are there.</returns>
    internal static string? DescribeMissing(IEnumerable<(string Library, string Name)> calls)
    {
        foreach ((string library, string name) in calls)
        {
            if (!NativeLibrary.TryLoad(library, out nint handle) || !NativeLibrary.TryGetExport(handle, name, out _))
            {
                return $"This Windows lacks the call {name} of {library}, which Cooperative Linux needs; it is too old, or an imitation that is not complete.";
            }
        }

        return null;
    }

    /// <summary>
    /// Guest code is left and entered with jumps that no shadow stack knows of, and a fault in it resumes elsewhere: under
    /// hardware-enforced stack protection Windows ends the process at the first of these.
    /// </summary>
    /// <param name="flags">Of the policy.</param>
    /// <returns>A line that says how to turn it off, null if it is off.</returns>
    internal static string? DescribeShadowStack(uint flags) => (flags & EnableUserShadowStack) == 0
        ? null
        : "Windows has hardware-enforced stack protection on for this process, under which guests cannot run. Start colinux.exe itself, which asks "
            + "for it to be off; if it is on all the same, turn it off for colinux.exe in Windows Security, App & browser control, Exploit protection settings.";

    // A Windows without the call or without the policy has no shadow stacks either.
    private static unsafe uint ReadShadowStackFlags()
    {
        uint flags = 0;
        try
        {
            return GetProcessMitigationPolicy(WindowsMemoryCalls.GetCurrentProcess(), UserShadowStackPolicy, &flags, sizeof(uint)) ? flags : 0;
        }
        catch (EntryPointNotFoundException)
        {
            return 0;
        }
    }

    [LibraryImport("kernel32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static unsafe partial bool GetProcessMitigationPolicy(nint process, int policy, void* buffer, nint length);
}
