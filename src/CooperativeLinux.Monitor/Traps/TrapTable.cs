using System.Runtime.InteropServices;

namespace CooperativeLinux.Monitor.Traps;

/// <summary>One entry of set_trap_table, as the guest passes it (pv-interface 3.3).</summary>
[StructLayout(LayoutKind.Explicit, Size = TotalSize)]
internal struct TrapInfo
{
    public const int TotalSize = 16;

    [FieldOffset(0)] public byte Vector;

    /// <summary>Bits 1:0: DPL; bit 2: mask events on entry.</summary>
    [FieldOffset(1)] public byte Flags;

    [FieldOffset(2)] public ushort CodeSelector;

    [FieldOffset(8)] public ulong Address;

    public readonly int Dpl => Flags & 3;

    public readonly bool MasksEvents => (Flags & 4) != 0;
}

/// <summary>The exception handlers of one vCPU.</summary>
internal sealed class TrapTable
{
    /// <summary>Number of vectors.</summary>
    public const int Count = 256;

    /// <summary>Vectors with a fixed role here.</summary>
    public const byte NmiVector = 2, GeneralProtectionVector = 13;

    /// <summary>Vectors whose frame has an error code: 8, 10 to 14, 17, 21, 30.</summary>
    private const uint ErrorCodeVectors = (1u << 8) | (0x1fu << 10) | (1u << 17) | (1u << 21) | (1u << 30);

    private readonly TrapInfo[] _entries = new TrapInfo[Count];

    public ref readonly TrapInfo this[byte vector] => ref _entries[vector];

    /// <summary>Whether a #GP finds a handler; before, faults of early start-up code must not be raised.</summary>
    public bool HandlesGeneralProtection => _entries[GeneralProtectionVector].Address != 0;

    public static bool HasErrorCode(byte vector) => vector < 32 && ((ErrorCodeVectors >> vector) & 1) != 0;

    public void Set(in TrapInfo entry) => _entries[entry.Vector] = entry;

    public void Clear() => Array.Clear(_entries);
}
