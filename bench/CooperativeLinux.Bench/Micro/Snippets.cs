using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>What <c>micro</c> measures.</summary>
internal static partial class Snippets
{
    private const int Multiplier = 1664525, Increment = 1013904223;

    public static IEnumerable<Snippet> All => [.. Arithmetic, .. MemoryAccess, .. Control, .. Programs, .. Strings, .. Vectors, .. System];

    /// <summary>Repeats the body rsi times; one more jump and decrement each.</summary>
    private static void Loop(Assembler a, Action body)
    {
        Label loop = a.CreateLabel();
        a.nop(); // a label may end before it
        a.Label(ref loop);
        body();
        a.dec(rsi);
        a.jnz(loop);
    }

    /// <summary>Repeats the body a fixed number of times.</summary>
    private static void Loop(Assembler a, AssemblerRegister32 counter, int count, Action body)
    {
        Label loop = a.CreateLabel();
        a.mov(counter, count);
        a.Label(ref loop);
        body();
        a.dec(counter);
        a.jnz(loop);
    }

    /// <summary>Next pseudo-random number; the high bits are the good ones.</summary>
    private static void Random(Assembler a, AssemblerRegister32 register)
    {
        a.imul(register, register, Multiplier);
        a.add(register, Increment);
    }

    /// <summary>Fills with words that do not repeat soon.</summary>
    private static void FillNumbers(Span<byte> data, ulong address)
    {
        uint value = 1;
        foreach (ref uint word in MemoryMarshal.Cast<byte, uint>(data))
        {
            value = (value * Multiplier) + Increment;
            word = value ^ (value >> 15);
        }
    }

    /// <summary>A ring of pointers through all nodes of a range, in an order that no prefetcher guesses.</summary>
    private static DataFiller FillRing(int size, int nodeSize) => (data, address) =>
    {
        int count = size / nodeSize;
        int[] order = [.. Enumerable.Range(0, count)];
        new Random(1).Shuffle(order);
        for (int i = 0; i < count; i++)
        {
            ulong next = address + ((ulong)order[(i + 1) % count] * (ulong)nodeSize);
            Span<byte> node = data.Slice(order[i] * nodeSize, nodeSize);
            MemoryMarshal.Write(node, next);
            if (nodeSize > 8)
            {
                MemoryMarshal.Write(node[8..], (ulong)order[i]);
            }
        }
    };
}
