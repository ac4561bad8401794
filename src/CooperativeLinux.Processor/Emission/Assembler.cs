using System.Runtime.CompilerServices;

namespace CooperativeLinux.Processor.Emission;

/// <summary>Host general registers by their x86 number.</summary>
internal static class Gpr
{
    public const int Rax = 0, Rcx = 1, Rdx = 2, Rbx = 3, Rsp = 4, Rbp = 5, Rsi = 6, Rdi = 7, R8 = 8, R9 = 9, R10 = 10, R11 = 11,
        R12 = 12, R13 = 13, R14 = 14, R15 = 15;

    /// <summary>Holds the guest's rsp.</summary>
    public const int GuestRsp = R9;

    /// <summary>Scratch registers; the guest's own r9, r10 and r11 live in memory.</summary>
    public const int T0 = R10, T1 = R11;
}

/// <summary>Condition numbers of jcc.</summary>
internal static class Condition
{
    public const int Below = 2, AboveOrEqual = 3, Equal = 4, NotEqual = 5, Above = 7, Sign = 8;
}

/// <summary>The /digit of the 81h and 83h groups.</summary>
internal enum Alu
{
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// <summary>
/// Writes the few instruction forms that the translator needs besides copied ones. It writes through the writable view and
/// computes displacements for the executable view.
/// </summary>
internal sealed unsafe class Assembler
{
    private readonly byte* _writable;
    private readonly byte* _executable;
    private readonly byte* _data;

    public Assembler(byte* writable, byte* executable, byte* data)
    {
        _writable = writable;
        _executable = executable;
        _data = data;
    }

    /// <summary>Offset in the code region where the next byte goes.</summary>
    public int Position { get; set; }

    /// <summary>End of the stubs.</summary>
    public int StubsEnd { get; set; }

    /// <summary>Receives the offsets of displacements to the data region and to stubs, which change when code is moved.</summary>
    public List<int> Outside { get; } = [];

    public byte* Here => _executable + Position;

    public byte* AddressOf(int offset) => _executable + offset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Byte(int value) => _writable[Position++] = (byte)value;

    public void Bytes(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(new Span<byte>(_writable + Position, bytes.Length));
        Position += bytes.Length;
    }

    public void Int32(int value)
    {
        Unsafe.WriteUnaligned(_writable + Position, value);
        Position += 4;
    }

    public void Int64(long value)
    {
        Unsafe.WriteUnaligned(_writable + Position, value);
        Position += 8;
    }

    public void Set32(int offset, int value) => Unsafe.WriteUnaligned(_writable + offset, value);

    public void Add32(int offset, int value) => Set32(offset, Unsafe.ReadUnaligned<int>(_writable + offset) + value);

    public void Add64(int offset, ulong value) => Unsafe.WriteUnaligned(_writable + offset, Unsafe.ReadUnaligned<ulong>(_writable + offset) + value);

    /// <summary>Overwrites a 32-bit displacement so that it leads to <paramref name="target"/>.</summary>
    public void PatchRelative(int displacementOffset, int target) =>
        Unsafe.WriteUnaligned(_writable + displacementOffset, target - (displacementOffset + 4));

    // ---- operands in the data region

    /// <summary>REX.W? opcode /reg [rip+state].</summary>
    public void State(int opcode, int register, int stateOffset, bool wide = true, int immediateBytes = 0)
    {
        int rex = (wide ? 0x48 : 0x40) | ((register & 8) >> 1);
        if (rex != 0x40)
        {
            Byte(rex);
        }

        if (opcode > 0xFF)
        {
            Byte(opcode >> 8);
        }

        Byte(opcode);
        Byte(((register & 7) << 3) | 5);
        byte* next = Here + 4 + immediateBytes;
        Outside.Add(Position);
        Int32(checked((int)(_data + stateOffset - next)));
    }

    /// <summary>The rip-relative displacement of a state field, as the last part of an instruction.</summary>
    public void Displacement(int stateOffset)
    {
        Outside.Add(Position);
        Int32(checked((int)(_data + stateOffset - (Here + 4))));
    }

    public void LoadState(int register, int stateOffset) => State(0x8B, register, stateOffset);

    public void StoreState(int stateOffset, int register) => State(0x89, register, stateOffset);

    public void StoreStateImmediate32(int stateOffset, uint value)
    {
        State(0xC7, 0, stateOffset, wide: false, immediateBytes: 4);
        Int32((int)value);
    }

    /// <summary>op register, [state] for add (03), sub (2B), cmp (3B).</summary>
    public void AluState(Alu operation, int register, int stateOffset) => State(((int)operation << 3) | 3, register, stateOffset);

    public void JumpState(int stateOffset) => State(0xFF, 4, stateOffset, wide: false);

    public void CallState(int stateOffset) => State(0xFF, 2, stateOffset, wide: false);

    // ---- registers and memory

    public void MoveRegister(int destination, int source) => RegisterForm(0x8B, destination, source, wide: true);

    public void MoveRegister32(int destination, int source) => RegisterForm(0x8B, destination, source, wide: false);

    /// <summary>Loads a constant in its shortest form; flags are kept.</summary>
    public void MoveImmediate(int register, ulong value)
    {
        if (value <= uint.MaxValue)
        {
            if (register >= 8)
            {
                Byte(0x41);
            }

            Byte(0xB8 + (register & 7));
            Int32((int)value);
        }
        else if ((long)value == (int)value)
        {
            Byte(0x48 | (register >> 3));
            Byte(0xC7);
            Byte(0xC0 | (register & 7));
            Int32((int)value);
        }
        else
        {
            Byte(0x48 | (register >> 3));
            Byte(0xB8 + (register & 7));
            Int64((long)value);
        }
    }

    public void AluImmediate(Alu operation, int register, int value, bool wide = true)
    {
        Rex(wide, 0, 0, register);
        if (value == (sbyte)value)
        {
            Byte(0x83);
            Byte(0xC0 | ((int)operation << 3) | (register & 7));
            Byte(value);
        }
        else
        {
            Byte(0x81);
            Byte(0xC0 | ((int)operation << 3) | (register & 7));
            Int32(value);
        }
    }

    /// <summary>shl (4), shr (5), sar (7) by a constant.</summary>
    public void Shift(int digit, int register, int count, bool wide)
    {
        Rex(wide, 0, 0, register);
        Byte(0xC1);
        Byte(0xC0 | (digit << 3) | (register & 7));
        Byte(count);
    }

    public void Lea(int destination, int baseRegister, int displacement) => Memory(0x8D, destination, baseRegister, -1, 1, displacement, wide: true);

    public void Load(int destination, int baseRegister, int displacement) => Memory(0x8B, destination, baseRegister, -1, 1, displacement, wide: true);

    public void Store(int baseRegister, int displacement, int source) => Memory(0x89, source, baseRegister, -1, 1, displacement, wide: true);

    /// <summary>opcode reg, [base + index*scale + disp]; base or index may be absent (-1).</summary>
    public void Memory(int opcode, int register, int baseRegister, int index, int scale, int displacement, bool wide)
    {
        int rex = (wide ? 0x48 : 0x40) | ((register & 8) >> 1) | (index >= 8 ? 2 : 0) | (baseRegister >= 8 ? 1 : 0);
        if (rex != 0x40)
        {
            Byte(rex);
        }

        if (opcode > 0xFF)
        {
            Byte(opcode >> 8);
        }

        Byte(opcode);
        int reg = (register & 7) << 3;
        int scaleBits = scale switch { 1 => 0, 2 => 0x40, 4 => 0x80, _ => 0xC0 };
        if (baseRegister < 0)
        {
            Byte(reg | 4);
            Byte(scaleBits | ((index < 0 ? 4 : index & 7) << 3) | 5);
            Int32(displacement);
            return;
        }

        bool needsSib = index >= 0 || (baseRegister & 7) == 4;
        int mod = displacement == 0 && (baseRegister & 7) != 5 ? 0 : displacement == (sbyte)displacement ? 0x40 : 0x80;
        Byte(mod | reg | (needsSib ? 4 : baseRegister & 7));
        if (needsSib)
        {
            Byte(scaleBits | ((index < 0 ? 4 : index & 7) << 3) | (baseRegister & 7));
        }

        if (mod == 0x40)
        {
            Byte(displacement);
        }
        else if (mod == 0x80)
        {
            Int32(displacement);
        }
    }

    public void RegisterForm(int opcode, int register, int operand, bool wide)
    {
        Rex(wide, register, 0, operand);
        if (opcode > 0xFF)
        {
            Byte(opcode >> 8);
        }

        Byte(opcode);
        Byte(0xC0 | ((register & 7) << 3) | (operand & 7));
    }

    // ---- control

    /// <summary>jmp rel32 to an offset in the code region; returns the offset of the displacement.</summary>
    public int Jump(int target)
    {
        Byte(0xE9);
        return Relative(target);
    }

    public int JumpIf(int condition, int target)
    {
        Byte(0x0F);
        Byte(0x80 | condition);
        return Relative(target);
    }

    public int Call(int target)
    {
        Byte(0xE8);
        return Relative(target);
    }

    public void Return() => Byte(0xC3);

    // ---- flags

    /// <summary>Flags to ah and al; rax is lost.</summary>
    public void FlagsToRax()
    {
        Byte(0x9F);
        Bytes([0x0F, 0x90, 0xC0]);
    }

    /// <summary>Flags from ah and al; al is changed.</summary>
    public void FlagsFromRax()
    {
        Bytes([0x04, 0x7F]);
        Byte(0x9E);
    }

    /// <summary>Saves the flags in memory; no other register is changed.</summary>
    /// <param name="scratch">Register that keeps rax meanwhile, or -1: memory, which costs whatever waits for rax some cycles.</param>
    public void ParkFlags(int scratch = -1)
    {
        KeepRax(scratch);
        FlagsToRax();
        State(0x89, Gpr.Rax, StateLayout.ParkedFlags, wide: false);
        RestoreRax(scratch);
    }

    /// <inheritdoc cref="ParkFlags"/>
    public void UnparkFlags(int scratch = -1)
    {
        KeepRax(scratch);
        State(0x8B, Gpr.Rax, StateLayout.ParkedFlags, wide: false);
        FlagsFromRax();
        RestoreRax(scratch);
    }

    private void KeepRax(int scratch)
    {
        if (scratch < 0)
        {
            StoreState(StateLayout.ParkRax, Gpr.Rax);
        }
        else
        {
            MoveRegister(scratch, Gpr.Rax);
        }
    }

    private void RestoreRax(int scratch)
    {
        if (scratch < 0)
        {
            LoadState(Gpr.Rax, StateLayout.ParkRax);
        }
        else
        {
            MoveRegister(Gpr.Rax, scratch);
        }
    }

    private int Relative(int target)
    {
        int at = Position;
        if (target > 0 && target < StubsEnd)
        {
            Outside.Add(at);
        }

        Int32(target - (at + 4));
        return at;
    }

    private void Rex(bool wide, int reg, int index, int rm)
    {
        int rex = (wide ? 0x48 : 0x40) | ((reg & 8) >> 1) | ((index & 8) >> 2) | ((rm & 8) >> 3);
        if (rex != 0x40)
        {
            Byte(rex);
        }
    }
}
