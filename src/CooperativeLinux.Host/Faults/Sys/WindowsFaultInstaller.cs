using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Faults.Sys;

/// <summary>Installs a vectored exception handler before the runtime's.</summary>
internal sealed unsafe partial class WindowsFaultInstaller : IFaultInstaller
{
    // Exception codes from winnt.h.
    private static readonly (uint Code, FaultKind Kind)[] Kinds =
    [
        (0xC0000005, FaultKind.AccessViolation),    // EXCEPTION_ACCESS_VIOLATION
        (0xC0000006, FaultKind.Bus),                // EXCEPTION_IN_PAGE_ERROR
        (0x80000002, FaultKind.Bus),                // EXCEPTION_DATATYPE_MISALIGNMENT
        (0xC0000094, FaultKind.Arithmetic),         // EXCEPTION_INT_DIVIDE_BY_ZERO
        (0xC0000095, FaultKind.Arithmetic),         // EXCEPTION_INT_OVERFLOW
        (0xC000008D, FaultKind.FloatingPoint),      // EXCEPTION_FLT_DENORMAL_OPERAND
        (0xC000008E, FaultKind.FloatingPoint),      // EXCEPTION_FLT_DIVIDE_BY_ZERO
        (0xC000008F, FaultKind.FloatingPoint),      // EXCEPTION_FLT_INEXACT_RESULT
        (0xC0000090, FaultKind.FloatingPoint),      // EXCEPTION_FLT_INVALID_OPERATION
        (0xC0000091, FaultKind.FloatingPoint),      // EXCEPTION_FLT_OVERFLOW
        (0xC0000092, FaultKind.FloatingPoint),      // EXCEPTION_FLT_STACK_CHECK
        (0xC0000093, FaultKind.FloatingPoint),      // EXCEPTION_FLT_UNDERFLOW
        (0xC00002B4, FaultKind.FloatingPoint),      // STATUS_FLOAT_MULTIPLE_FAULTS
        (0xC00002B5, FaultKind.FloatingPoint),      // STATUS_FLOAT_MULTIPLE_TRAPS
        (0xC000001D, FaultKind.IllegalInstruction), // EXCEPTION_ILLEGAL_INSTRUCTION
        (0xC0000096, FaultKind.GeneralProtection),  // EXCEPTION_PRIV_INSTRUCTION
        (0x80000003, FaultKind.Trap),               // EXCEPTION_BREAKPOINT
        (0x80000004, FaultKind.Trap),               // EXCEPTION_SINGLE_STEP
    ];

    /// <inheritdoc/>
    public ReadOnlySpan<byte> HandlerCode => WindowsFaultHandler.Code;

    /// <inheritdoc/>
    public void Install(FaultTable table)
    {
        for (int i = 0; i < Kinds.Length; i++)
        {
            table.Field<uint>(FaultTable.ExceptionKindsOffset + (i * 8)) = Kinds[i].Code;
            table.Field<FaultKind>(FaultTable.ExceptionKindsOffset + (i * 8) + 4) = Kinds[i].Kind;
        }

        const uint First = 1;
        if (AddVectoredExceptionHandler(First, table.Handler) == 0)
        {
            throw HostCallException.FromLast("AddVectoredExceptionHandler");
        }
    }

    [LibraryImport("kernel32", EntryPoint = "AddVectoredExceptionHandler", SetLastError = true)]
    private static partial nint AddVectoredExceptionHandler(uint first, byte* handler);
}
