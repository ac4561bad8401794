using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>A case under construction: one instruction and the state it starts from.</summary>
internal sealed class CaseDraft
{
    /// <summary>The instruction; a field because Iced's type is a mutable structure.</summary>
    public Instruction Instruction;

    public CaseDraft(Rng rng, Code code, byte[] pattern)
    {
        Rng = rng;
        Values = new ValueSource(rng);
        Info = code.ToOpCode();
        Instruction.Code = code;
        pattern.CopyTo(State.Memory, 0);
        CodeView = rng.Chance(4) ? TestLayout.Low : TestLayout.High;
        DataView = rng.Chance(3) ? TestLayout.Low : TestLayout.High;
        FillState();
        PlaceCode();
    }

    public Rng Rng { get; }

    public ValueSource Values { get; }

    public OpCodeInfo Info { get; }

    public TestState State { get; } = new();

    public ulong CodeView { get; }

    public ulong DataView { get; set; }

    /// <summary>Address of the explicit memory operand, 0 without one.</summary>
    public ulong Target { get; set; }

    /// <summary>Bytes of the explicit memory operand.</summary>
    public int TargetSize { get; set; }

    public uint IgnoredRegisters { get; set; }

    public List<IgnoredBytes> IgnoredMemory { get; } = [];

    public int PickRegister() => OperandChooser.PickRegister(Rng);

    /// <summary>Sets a general register, whatever its width.</summary>
    public void Pin(Register register, ulong value) => State.Registers[register.GetFullRegister() - Register.RAX] = value;

    public ulong Value(Register register) => State.Registers[register.GetFullRegister() - Register.RAX];

    private void FillState()
    {
        for (int i = 0; i < 16; i++)
        {
            State.Registers[i] = Values.Register();
        }

        State.Registers[4] = TestLayout.StackMiddle + DataView + (ulong)(8 * Rng.Between(-32, 32));
        State.FsBase = TargetPicker.Page(DataView, TestLayout.DataA) + 0x80;
        State.GsBase = TargetPicker.Page(DataView, TestLayout.DataC) + 0x180;
        State.Rflags = TestState.FixedFlags | (Rng.Next() & 0x8D5);
        if (Rng.Chance(16))
        {
            State.Rflags |= Rng.Pick<ulong>([0x400, 0x400, 0x400, 0x4000, 0x20_0000]);
        }

        ElementStyle style = Values.StyleFor(Info.MemorySize);
        for (int i = 0; i < 16; i++)
        {
            Values.Fill(State.Vectors.AsSpan(32 * i, 32), Rng.Chance(4) ? (ElementStyle)Rng.Below(7) : style);
        }

        if (Rng.Chance(5))
        {
            State.Mxcsr = 0x1F80u | (uint)(Rng.Below(4) << 13) | (uint)Rng.Below(64) | (Rng.Chance(4) ? 0x40u : 0) | (Rng.Chance(4) ? 0x8000u : 0);
            if (Rng.Chance(3))
            {
                State.Mxcsr &= ~(0x80u << Rng.Below(6));
            }
        }

        State.UsesX87 = InstructionCatalogue.UsesX87(Instruction.Code);
        if (State.UsesX87)
        {
            Values.FillX87(State.X87, asMmx: Instruction.Code.CpuidFeatures()[0] is not (CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU387) && !Rng.Chance(8));
        }
    }

    /// <summary>Most code lies inside a page; some of it crosses into the next code page, or runs into an absent one.</summary>
    private void PlaceCode()
    {
        ulong second = TargetPicker.Page(CodeView, TestLayout.CodeLast);
        State.Rip = Rng.Below(20) switch
        {
            < 16 => TargetPicker.Page(CodeView, TestLayout.CodeFirst) + 0x100 + (ulong)Rng.Below(0xE00),
            < 19 => second - (ulong)Rng.Between(1, 14),
            _ => second + TestLayout.PageSize - (ulong)Rng.Between(1, 14),
        };
    }
}
