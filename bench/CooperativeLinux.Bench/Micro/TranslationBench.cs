using System.Globalization;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>How long it takes to translate: code that is run once, and once more when it is translated.</summary>
internal static class TranslationBench
{
    public const string Name = "translate";

    private const int Blocks = 20_000;
    private const int BlockLength = 8;

    public static void Run(ProcessorOptions processor, MicroOptions options, TextWriter output)
    {
        Snippet snippet = new() { Name = Name, Operation = "", Emit = Emit };
        double best = double.MaxValue;
        double again = double.MaxValue;
        for (int run = 0; run < options.Runs; run++)
        {
            using FlatGuest guest = new(options.Kernel, processor);
            guest.LoadCode(snippet.Assemble(guest.CodeAddress));
            double start = ThreadTime.Nanoseconds;
            guest.Call(1);
            best = Math.Min(best, (ThreadTime.Nanoseconds - start) / (Blocks * BlockLength));
            start = ThreadTime.Nanoseconds;
            guest.Call(1);
            again = Math.Min(again, (ThreadTime.Nanoseconds - start) / (Blocks * BlockLength));
        }

        string text = string.Create(CultureInfo.InvariantCulture,
            $"{Name,-16}{"",12}{best,12:F2}{"",18}  one new instruction, in blocks of {BlockLength}; the second time {again:F2} ns");
        output.WriteLine(text);
    }

    /// <summary>Blocks as compilers make them: a call prologue, loads, a store, arithmetic, a branch that is not taken, a jump.</summary>
    private static void Emit(Assembler a)
    {
        Label end = a.CreateLabel();
        for (int block = 0; block < Blocks; block++)
        {
            int offset = block * 8 % 4096;
            a.mov(rax, __[rdi + offset]);
            a.lea(rcx, __[rax + (rsi * 4) + offset]);
            a.add(rcx, rax);
            a.mov(__[rdi + offset], rcx);
            a.movzx(edx, cl);
            a.xor(edx, 0x55);
            a.test(rsi, rsi);
            a.jz(end);
        }

        a.Label(ref end);
        a.nop();
    }
}
