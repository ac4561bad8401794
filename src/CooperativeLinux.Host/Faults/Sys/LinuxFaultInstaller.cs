using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Faults.Sys;

/// <summary>Installs signal handlers that chain to the runtime's, which are there since before managed code ran.</summary>
internal sealed unsafe partial class LinuxFaultInstaller : IFaultInstaller
{
    // From asm/signal.h.
    private const int SignalIllegal = 4;
    private const int SignalTrap = 5;
    private const int SignalBus = 7;
    private const int SignalFloatingPoint = 8;
    private const int SignalSegmentation = 11;
    private const uint FlagSignalInfo = 4;
    private const uint FlagOnStack = 0x08000000;
    private const nint IgnoreHandler = 1;
    private static readonly int[] Signals = [SignalIllegal, SignalTrap, SignalBus, SignalFloatingPoint, SignalSegmentation];

    // By x86 vector. What is missing here goes to the previous handler.
    private static readonly (int Vector, FaultKind Kind)[] Kinds =
    [
        (0, FaultKind.Arithmetic),
        (1, FaultKind.Trap),
        (3, FaultKind.Trap),
        (6, FaultKind.IllegalInstruction),
        (12, FaultKind.GeneralProtection),
        (13, FaultKind.GeneralProtection),
        (14, FaultKind.AccessViolation), // the handler makes it Bus if the signal is SIGBUS
        (16, FaultKind.FloatingPoint),
        (17, FaultKind.Bus),
        (19, FaultKind.FloatingPoint),
    ];

    /// <inheritdoc/>
    public ReadOnlySpan<byte> HandlerCode => LinuxFaultHandler.Code;

    /// <inheritdoc/>
    public void Install(FaultTable table)
    {
        nint libc = NativeLibrary.GetMainProgramHandle();
        table.Field<nint>(FaultTable.SignalCallOffset) = NativeLibrary.GetExport(libc, "signal");
        table.Field<nint>(FaultTable.RaiseCallOffset) = NativeLibrary.GetExport(libc, "raise");
        foreach ((int vector, FaultKind kind) in Kinds)
        {
            table.Field<FaultKind>(FaultTable.VectorKindsOffset + (vector * sizeof(uint))) = kind;
        }

        foreach (int signal in Signals)
        {
            InstallFor(signal, table);
        }
    }

    private static void InstallFor(int signal, FaultTable table)
    {
        SignalAction action = default;
        if (GetOrSetAction(signal, null, &action) != 0)
        {
            throw HostCallException.FromLast($"sigaction({signal}) to read");
        }

        // All is in place before the handler is, because a fault may come at once.
        bool hasHandler = action.Handler is not 0 and not IgnoreHandler;
        table.Field<nint>(FaultTable.PreviousOffset + (signal * sizeof(ulong))) =
            hasHandler ? action.Handler : (nint)table.Handler + LinuxFaultHandler.DefaultActionOffset;
        if (hasHandler && (action.Flags & FlagOnStack) == 0)
        {
            table.Field<uint>(FaultTable.SwitchMaskOffset) |= 1u << signal;
        }

        // The runtime's other flags and mask stay: its handlers unblock the signal themselves before they unwind.
        action.Handler = (nint)table.Handler;
        action.Flags |= FlagSignalInfo | FlagOnStack;
        if (GetOrSetAction(signal, &action, null) != 0)
        {
            throw HostCallException.FromLast($"sigaction({signal}) to install");
        }
    }

    [LibraryImport("libc", EntryPoint = "sigaction", SetLastError = true)]
    private static partial int GetOrSetAction(int signal, SignalAction* action, SignalAction* previous);

    /// <summary>struct sigaction of the C library (not the kernel's, which orders it differently and has an 8-byte mask).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 152)]
    private struct SignalAction
    {
        [FieldOffset(0)] public nint Handler;
        [FieldOffset(136)] public uint Flags;
    }
}
