using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Faults;

/// <summary>What a fault in emitted code was.</summary>
public enum FaultKind : uint
{
    /// <summary>No fault was recorded.</summary>
    None = 0,

    /// <summary>A page fault; <see cref="FaultRecord.Address"/> and <see cref="FaultRecord.Access"/> are valid.</summary>
    AccessViolation = 1,

    /// <summary>An alignment check, or a page the host could not supply.</summary>
    Bus = 2,

    /// <summary>A general-protection or stack fault: non-canonical address, misaligned vector access, privileged instruction.
    /// The address is not known.</summary>
    GeneralProtection = 3,

    /// <summary>A divide error.</summary>
    Arithmetic = 4,

    /// <summary>An unmasked x87 or SSE exception. Its status flags stay set: after an x87 fault the resumed code must clear
    /// them before the next waiting x87 instruction.</summary>
    FloatingPoint = 5,

    /// <summary>An undefined instruction.</summary>
    IllegalInstruction = 6,

    /// <summary>int3 or a single step.</summary>
    Trap = 7,
}

/// <summary>The access that faulted.</summary>
public enum FaultAccess : uint
{
    /// <summary>A load.</summary>
    Read = 0,

    /// <summary>A store, or the store half of a read-modify-write.</summary>
    Write = 1,

    /// <summary>An instruction fetch.</summary>
    Execute = 2,

    /// <summary>No page fault, or the host does not tell.</summary>
    Unknown = 3,
}

/// <summary>Filled by the fault handler before it resumes. Unmanaged: emitted code may read it.</summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
public struct FaultRecord
{
    /// <summary>Bytes of the structure.</summary>
    public const int TotalSize = 32;

    /// <summary>Host address of the faulting instruction (of the int3 itself for a trap by int3).</summary>
    [FieldOffset(0)] public ulong Rip;

    /// <summary>Host address whose access faulted; 0 where unknown.</summary>
    [FieldOffset(8)] public ulong Address;

    /// <summary>What it was.</summary>
    [FieldOffset(16)] public FaultKind Kind;

    /// <summary>The host's own code, for messages only: si_code on Linux, the exception code on Windows.</summary>
    [FieldOffset(20)] public uint ErrorCode;

    /// <summary>Which access, for page faults.</summary>
    [FieldOffset(24)] public FaultAccess Access;
}
