using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>
/// Writes random programs that end: branches go forward, loops count down a register that their body does not write, functions
/// call only later functions. Memory is reached through registers that point into the test pages.
/// </summary>
internal sealed class ProgramGenerator(ulong seed)
{
    private const int MaxFunctions = 3;

    private readonly byte[] _pattern = TestLayout.CreatePattern();
    private readonly ProgramInstructions _catalogue = new();

    /// <summary>The program of an index; the same seed and index always give the same program.</summary>
    /// <param name="index">Any number.</param>
    /// <param name="maxItems">Most items in the main part.</param>
    public RandomProgram Generate(int index, int maxItems = 40)
    {
        Rng rng = new(Rng.Mix(seed, 0x70726f67, (ulong)index));
        ProgramContext context = new(rng);
        TestState start = CreateState(rng, context);
        ProgramWriter writer = new(context, _catalogue);
        int functions = rng.Below(MaxFunctions + 1);
        writer.WriteBody(rng.Between(1, maxItems), functions, isFunction: false, useX87: start.UsesX87);
        for (int function = 0; function < functions; function++)
        {
            writer.WriteFunction(function, functions, rng.Between(1, 6), useX87: start.UsesX87);
        }

        return new RandomProgram($"program {index}", start, writer.Finish());
    }

    private TestState CreateState(Rng rng, ProgramContext context)
    {
        ValueSource values = new(rng);
        ulong view = rng.Chance(3) ? TestLayout.Low : TestLayout.High;
        TestState state = new();
        _pattern.CopyTo(state.Memory, 0);
        for (int i = 0; i < 16; i++)
        {
            state.Registers[i] = values.Register();
            values.Fill(state.Vectors.AsSpan(32 * i, 32), (ElementStyle)rng.Below(7));
        }

        state.Registers[4] = view + TestLayout.StackMiddle + (ulong)(8 * rng.Between(-16, 16));
        foreach (int pointer in context.Pointers)
        {
            state.Registers[pointer] = PointerTarget(rng, rng.Chance(4) ? TestLayout.Low : view);
        }

        state.FsBase = PointerTarget(rng, view);
        state.GsBase = PointerTarget(rng, view);
        state.Rflags = TestState.FixedFlags | (rng.Next() & 0x8D5);
        state.UsesX87 = rng.Chance(5);
        if (state.UsesX87)
        {
            values.FillX87(state.X87, asMmx: rng.Chance(2));
        }

        // Often across the page boundary.
        ulong codeView = rng.Chance(5) ? TestLayout.Low : TestLayout.High;
        context.CodeView = codeView;
        ulong second = TargetPicker.Page(codeView, TestLayout.CodeLast);
        state.Rip = rng.Chance(3) ? second - (ulong)rng.Between(1, 120) : TargetPicker.Page(codeView, TestLayout.CodeFirst) + (ulong)rng.Below(0x800);
        return state;
    }

    /// <summary>A 64-byte aligned place with room on both sides; sometimes near a page that faults.</summary>
    private static ulong PointerTarget(Rng rng, ulong view)
    {
        int page = rng.Below(14) switch
        {
            < 5 => TestLayout.DataA,
            < 9 => TestLayout.DataB,
            < 11 => TestLayout.DataC,
            < 13 => TestLayout.DataD,
            _ => TestLayout.ReadOnlyC,
        };
        int offset = rng.Chance(8) ? (rng.Chance(2) ? 0 : 4096 - 64) : 64 * rng.Between(16, 48);
        return TargetPicker.Page(view, page) + (ulong)offset;
    }
}
