using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>String functions as libraries and kernels have them, and the string instructions.</summary>
internal static partial class Snippets
{
    private const int TextLength = 251;

    private static IEnumerable<Snippet> Strings =>
    [
        new()
        {
            Name = "byte-hash",
            Operation = "one byte into an FNV hash",
            Fill = FillNumbers,
            Emit = a =>
            {
                a.mov(eax, unchecked((int)2166136261));
                Loop(a, () =>
                {
                    a.movzx(edx, __byte_ptr[rdi + rcx]);
                    a.xor(eax, edx);
                    a.imul(eax, eax, 16777619);
                    a.inc(ecx);
                    a.and(ecx, 0x3FFF);
                });
            },
        },
        new()
        {
            Name = "strlen-sse2",
            Operation = "length of 251 unaligned bytes, 16 at a time",
            Fill = (data, _) => data.Slice(5, TextLength).Fill((byte)'x'),
            Emit = a => Loop(a, () =>
            {
                Label next = a.CreateLabel();
                a.lea(rcx, __[rdi + 5]);
                a.pxor(xmm0, xmm0);
                a.Label(ref next);
                a.movdqu(xmm1, __[rcx]);
                a.pcmpeqb(xmm1, xmm0);
                a.pmovmskb(edx, xmm1);
                a.add(rcx, 16);
                a.test(edx, edx);
                a.jz(next);
                a.bsf(edx, edx);
                a.lea(rax, __[rcx + rdx - 16 - 5]);
                a.sub(rax, rdi);
            }),
        },
        new()
        {
            Name = "copy-64-sse",
            Operation = "copy 64 unaligned bytes, 4 registers",
            Fill = FillNumbers,
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.lea(rdx, __[rdi + rcx]);
                    a.movups(xmm0, __[rdx + 3]);
                    a.movups(xmm1, __[rdx + 19]);
                    a.movups(xmm2, __[rdx + 35]);
                    a.movups(xmm3, __[rdx + 51]);
                    a.movups(__[rdx + 0x10000], xmm0);
                    a.movups(__[rdx + 0x10010], xmm1);
                    a.movups(__[rdx + 0x10020], xmm2);
                    a.movups(__[rdx + 0x10030], xmm3);
                    a.add(ecx, 64);
                    a.and(ecx, 0x1FFF);
                });
                a.mov(rax, __[rdi + 0x10040]);
            },
        },
        new()
        {
            Name = "copy-4K-avx",
            Operation = "copy 4 KiB, 32 bytes at a time, source unaligned",
            IsSupported = Avx.IsSupported,
            Fill = FillNumbers,
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.lea(rdx, __[rdi + 7]);
                    a.lea(rbx, __[rdi + 0x10000]);
                    Loop(a, ecx, 64, () =>
                    {
                        a.vmovdqu(ymm0, __[rdx]);
                        a.vmovdqu(ymm1, __[rdx + 32]);
                        a.vmovdqa(__[rbx], ymm0);
                        a.vmovdqa(__[rbx + 32], ymm1);
                        a.add(rdx, 64);
                        a.add(rbx, 64);
                    });
                });
                a.vzeroupper();
                a.mov(rax, __[rdi + 0x10048]);
            },
        },
        RepeatedMove(16),
        RepeatedMove(256),
        RepeatedMove(4096),
        new()
        {
            Name = "rep-stosq-4096",
            Operation = "rep stosq of 4 KiB",
            Emit = a =>
            {
                a.mov(rbx, rdi);
                Loop(a, () =>
                {
                    a.mov(rdi, rbx);
                    a.mov(rax, rsi);
                    a.mov(ecx, 512);
                    a.rep.stosq();
                });
                a.mov(rax, __[rbx + 4088]);
            },
        },
        new()
        {
            Name = "repe-cmpsb-64",
            Operation = "repe cmpsb of 64 equal bytes",
            Emit = a =>
            {
                a.mov(rbx, rdi);
                a.mov(r8, rsi);
                Label loop = a.CreateLabel();
                a.Label(ref loop);
                a.lea(rsi, __[rbx + 0x1000]);
                a.mov(rdi, rbx);
                a.mov(ecx, 64);
                a.repe.cmpsb();
                a.setz(al);
                a.dec(r8);
                a.jnz(loop);
            },
        },
        new()
        {
            Name = "lods-stos",
            Operation = "lodsb and stosb",
            Fill = FillNumbers,
            Emit = a =>
            {
                a.mov(rbx, rdi);
                a.mov(r8, rsi);
                Label loop = a.CreateLabel();
                a.Label(ref loop);
                a.lea(rsi, __[rbx + rcx]);
                a.lea(rdi, __[rbx + rcx + 0x10000]);
                a.lodsb();
                a.stosb();
                a.inc(ecx);
                a.and(ecx, 0xFFF);
                a.dec(r8);
                a.jnz(loop);
                a.mov(rax, __[rbx + 0x10000]);
            },
        },
    ];

    private static Snippet RepeatedMove(int size) => new()
    {
        Name = $"rep-movsb-{size}",
        Operation = $"rep movsb of {size} bytes",
        Fill = FillNumbers,
        Emit = a =>
        {
            a.mov(rbx, rdi);
            a.mov(r8, rsi);
            Label loop = a.CreateLabel();
            a.Label(ref loop);
            a.lea(rsi, __[rbx + 3]);
            a.lea(rdi, __[rbx + 0x10000]);
            a.mov(ecx, size);
            a.rep.movsb();
            a.dec(r8);
            a.jnz(loop);
            a.mov(rax, __[rbx + 0x10000]);
        },
    };
}
