using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Takes everything out of a failing case's start state that its failure does not need.</summary>
internal static class StateShrinker
{
    /// <summary>Shrinks in place.</summary>
    /// <param name="test">A failing case.</param>
    /// <param name="fails">Whether a case (the same object, changed) still fails in the same way.</param>
    public static void Shrink(TestCase test, Func<TestCase, bool> fails)
    {
        TestState state = test.Start;
        TestState saved = new();
        byte[] pattern = TestLayout.CreatePattern();

        void Try(Action change)
        {
            saved.CopyFrom(state);
            change();
            if (!fails(test))
            {
                state.CopyFrom(saved);
            }
        }

        Try(() => state.Vectors.AsSpan().Clear());
        for (int i = 0; i < 16; i++)
        {
            Span<byte> vector = state.Vectors.AsSpan(32 * i, 32);
            if (vector.ContainsAnyExcept((byte)0))
            {
                int index = i;
                Try(() => state.Vectors.AsSpan(32 * index, 32).Clear());
            }

            if (state.Registers[i] != 0)
            {
                int index = i;
                Try(() => state.Registers[index] = 0);
            }
        }

        Try(() => state.Rflags = TestState.FixedFlags);
        Try(() => state.Mxcsr = 0x1F80);
        Try(() => state.FsBase = 0);
        Try(() => state.GsBase = 0);
        int code = TestLayout.MemoryIndex(state.Rip);
        Try(() =>
        {
            byte[] bytes = state.Memory.AsSpan(code, Math.Min(test.CodeLength, state.Memory.Length - code)).ToArray();
            pattern.CopyTo(state.Memory, 0);
            bytes.CopyTo(state.Memory, code);
        });
    }
}
