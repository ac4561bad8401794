using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>Floating point and vectors.</summary>
internal static partial class Snippets
{
    private static IEnumerable<Snippet> Vectors =>
    [
        new()
        {
            Name = "sse2-scalar",
            Operation = "multiply, add, divide and square root of doubles in registers",
            Fill = FillDoubles,
            Emit = a =>
            {
                a.movsd(xmm0, __qword_ptr[rdi]);
                a.movsd(xmm1, __qword_ptr[rdi + 8]);
                Loop(a, () =>
                {
                    a.movapd(xmm2, xmm0);
                    a.mulsd(xmm2, xmm1);
                    a.addsd(xmm2, xmm1);
                    a.sqrtsd(xmm2, xmm2);
                    a.divsd(xmm2, xmm1);
                    a.addsd(xmm0, xmm2);
                });
                a.movq(rax, xmm0);
            },
        },
        new()
        {
            Name = "sse2-memory",
            Operation = "dot product of doubles, one element: two loads",
            Fill = FillDoubles,
            Emit = a =>
            {
                a.xorps(xmm0, xmm0);
                Loop(a, () =>
                {
                    a.movsd(xmm1, __qword_ptr[rdi + (rcx * 8)]);
                    a.mulsd(xmm1, __qword_ptr[rdi + (rcx * 8) + 0x4000]);
                    a.addsd(xmm0, xmm1);
                    a.inc(ecx);
                    a.and(ecx, 1023);
                });
                a.movq(rax, xmm0);
            },
        },
        new()
        {
            Name = "fma-registers",
            Operation = "8 fused multiply-adds of 8 floats in registers",
            IsSupported = Fma.IsSupported,
            Fill = FillDoubles,
            Emit = a =>
            {
                // Only xmm0 to xmm5: the others belong to the caller on Windows.
                a.vbroadcastsd(ymm4, __qword_ptr[rdi]);
                a.vbroadcastsd(ymm5, __qword_ptr[rdi + 8]);
                AssemblerRegisterYMM[] sums = [ymm0, ymm1, ymm2, ymm3];
                foreach (AssemblerRegisterYMM sum in sums)
                {
                    a.vxorps(sum, sum, sum);
                }

                Loop(a, () =>
                {
                    for (int i = 0; i < 8; i++)
                    {
                        a.vfmadd231ps(sums[i % 4], ymm4, ymm5);
                    }
                });
                a.vaddps(ymm0, ymm0, ymm3);
                a.vmovq(rax, xmm0);
                a.vzeroupper();
            },
        },
        new()
        {
            Name = "fma-memory",
            Operation = "4 fused multiply-adds of 8 floats, one operand from 16 KiB",
            IsSupported = Fma.IsSupported,
            Fill = FillDoubles,
            Emit = a =>
            {
                a.vbroadcastsd(ymm5, __qword_ptr[rdi]);
                AssemblerRegisterYMM[] sums = [ymm0, ymm1, ymm2, ymm3];
                foreach (AssemblerRegisterYMM sum in sums)
                {
                    a.vxorps(sum, sum, sum);
                }

                Loop(a, () =>
                {
                    for (int i = 0; i < 4; i++)
                    {
                        a.vfmadd231ps(sums[i], ymm5, __[rdi + rcx + (i * 32)]);
                    }

                    a.add(ecx, 128);
                    a.and(ecx, 0x3FFF);
                });
                a.vaddps(ymm0, ymm0, ymm3);
                a.vmovq(rax, xmm0);
                a.vzeroupper();
            },
        },
        new()
        {
            Name = "avx2-integer",
            Operation = "shuffle, compare, add of 32 bytes from 16 KiB",
            IsSupported = Avx2.IsSupported,
            Fill = FillNumbers,
            Emit = a =>
            {
                a.vpxor(ymm0, ymm0, ymm0);
                a.vmovdqu(ymm2, __[rdi + 0x8000]);
                Loop(a, () =>
                {
                    a.vmovdqu(ymm1, __[rdi + rcx]);
                    a.vpshufb(ymm1, ymm1, ymm2);
                    a.vpcmpgtb(ymm3, ymm1, __[rdi + rcx + 32]);
                    a.vpaddd(ymm0, ymm0, ymm1);
                    a.vpsubb(ymm0, ymm0, ymm3);
                    a.add(ecx, 32);
                    a.and(ecx, 0x3FFF);
                });
                a.vmovq(rax, xmm0);
                a.vzeroupper();
            },
        },
        new()
        {
            Name = "convert",
            Operation = "integer to double and back",
            Emit = a => Loop(a, () =>
            {
                a.pxor(xmm0, xmm0);
                a.cvtsi2sd(xmm0, rsi);
                a.addsd(xmm0, xmm0);
                a.cvttsd2si(rdx, xmm0);
                a.add(rax, rdx);
            }),
        },
        new()
        {
            Name = "x87",
            Operation = "load, multiply, add, store on the x87",
            Fill = FillDoubles,
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.fld(__qword_ptr[rdi + 16]);
                    a.fmul(__qword_ptr[rdi + 8]);
                    a.fadd(__qword_ptr[rdi]);
                    a.fstp(__qword_ptr[rdi + 16]);
                });
                a.mov(rax, __[rdi + 16]);
            },
        },
    ];

    /// <summary>Fills with numbers between 0.5 and 1, also as floats.</summary>
    private static void FillDoubles(Span<byte> data, ulong address)
    {
        uint value = 1;
        foreach (ref double number in MemoryMarshal.Cast<byte, double>(data[..0x10000]))
        {
            value = (value * Multiplier) + Increment;
            number = BitConverter.UInt64BitsToDouble(0x3FE0_0000_3F00_0000 + ((ulong)(value >> 16) << 36) + ((ulong)(value >> 16) << 7));
        }
    }
}
