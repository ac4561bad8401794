using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>Registers only: what blocks and their ends cost.</summary>
internal static partial class Snippets
{
    private static IEnumerable<Snippet> Arithmetic =>
    [
        new()
        {
            Name = "loop",
            Operation = "dec, jnz",
            Emit = a => Loop(a, () => { }),
        },
        new()
        {
            Name = "xorshift",
            Operation = "pseudo-random number, 10 instructions in registers",
            Emit = a =>
            {
                a.mov(eax, 88172645);
                Loop(a, () =>
                {
                    a.mov(rcx, rax);
                    a.shl(rcx, 13);
                    a.xor(rax, rcx);
                    a.mov(rcx, rax);
                    a.shr(rcx, 7);
                    a.xor(rax, rcx);
                    a.mov(rcx, rax);
                    a.shl(rcx, 17);
                    a.xor(rax, rcx);
                });
            },
        },
        new()
        {
            Name = "adc-chain",
            Operation = "256-bit addition in registers",
            Emit = a =>
            {
                a.mov(ebx, 12345);
                a.mov(r11, 0xFEDCBA9876543210);
                a.xor(r8d, r8d);
                a.xor(r9d, r9d);
                a.xor(r10d, r10d);
                Loop(a, () =>
                {
                    a.add(rax, r11);
                    a.adc(r8, r11);
                    a.adc(r9, rbx);
                    a.adc(r10, r11);
                });
                a.add(rax, r10);
            },
        },
        new()
        {
            Name = "mul-div",
            Operation = "one 64-bit multiplication and one 32-bit division",
            Emit = a =>
            {
                a.xor(r11d, r11d);
                a.mov(r10d, 977);
                Loop(a, () =>
                {
                    a.imul(rbx, r11, 31);
                    a.lea(rbx, __[rbx + (rsi * 8) + 7]);
                    a.mov(eax, ebx);
                    a.xor(edx, edx);
                    a.div(r10d);
                    a.add(r11, rdx);
                });
                a.mov(rax, r11);
            },
        },
        new()
        {
            Name = "cmov-setcc",
            Operation = "random number, clamp and count without branches",
            Emit = a =>
            {
                a.mov(ebx, 1);
                Loop(a, () =>
                {
                    Random(a, ebx);
                    a.mov(edx, ebx);
                    a.shr(edx, 16);
                    a.cmp(edx, 0x8000);
                    a.cmova(edx, ecx);
                    a.setbe(cl);
                    a.movzx(r8d, cl);
                    a.add(rax, rdx);
                    a.add(rax, r8);
                });
            },
        },
    ];
}
