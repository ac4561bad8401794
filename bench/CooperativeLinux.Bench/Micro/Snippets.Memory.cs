using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>Loads and stores: what confinement costs.</summary>
internal static partial class Snippets
{
    private static IEnumerable<Snippet> MemoryAccess =>
    [
        new()
        {
            Name = "load",
            Operation = "sum over 16 KiB, one indexed load",
            Fill = FillNumbers,
            Emit = a => Loop(a, () =>
            {
                a.add(rax, __[rdi + (rcx * 8)]);
                a.inc(ecx);
                a.and(ecx, 2047);
            }),
        },
        new()
        {
            Name = "load-8",
            Operation = "8 loads from one base",
            Fill = FillNumbers,
            Emit = a => Loop(a, () =>
            {
                a.lea(rdx, __[rdi + rcx]);
                for (int i = 0; i < 8; i++)
                {
                    a.add(rax, __[rdx + (i * 8)]);
                }

                a.add(ecx, 64);
                a.and(ecx, 0x3FFF);
            }),
        },
        new()
        {
            Name = "store",
            Operation = "fill 16 KiB, one indexed store",
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.mov(__[rdi + (rcx * 8)], rsi);
                    a.inc(ecx);
                    a.and(ecx, 2047);
                });
                a.mov(rax, __[rdi + 8]);
            },
        },
        new()
        {
            Name = "modify",
            Operation = "add to memory, over 16 KiB",
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.add(__[rdi + (rcx * 8)], rsi);
                    a.inc(ecx);
                    a.and(ecx, 2047);
                });
                a.mov(rax, __[rdi + 8]);
            },
        },
        new()
        {
            Name = "copy-8",
            Operation = "load and store 8 bytes, to another page",
            Fill = FillNumbers,
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.mov(rdx, __[rdi + (rcx * 8)]);
                    a.mov(__[rdi + (rcx * 8) + 0x10000], rdx);
                    a.inc(ecx);
                    a.and(ecx, 2047);
                });
                a.mov(rax, __[rdi + 0x10008]);
            },
        },
        new()
        {
            Name = "flags-live",
            Operation = "compare, two moves from memory, branch on the compare",
            Fill = FillNumbers,
            Emit = a => Loop(a, () =>
            {
                Label equal = a.CreateLabel();
                a.cmp(rcx, 17);
                a.mov(rdx, __[rdi + (rcx * 8)]);
                a.mov(rbx, __[rdi + (rcx * 8) + 0x8000]);
                a.je(equal);
                a.add(rax, rdx);
                a.Label(ref equal);
                a.add(rax, rbx);
                a.inc(ecx);
                a.and(ecx, 2047);
            }),
        },
        new()
        {
            Name = "rip-load",
            Operation = "constant loaded relative to rip",
            Emit = a =>
            {
                Label constant = a.CreateLabel();
                Label over = a.CreateLabel();
                a.jmp(over);
                a.Label(ref constant);
                a.dq(0x1234567890UL);
                a.Label(ref over);
                Loop(a, () => a.add(rax, __qword_ptr[constant]));
            },
        },
        new()
        {
            Name = "unaligned",
            Operation = "8-byte load at any address: every 8th crosses a cache line, every 500th a page",
            Fill = FillNumbers,
            Emit = a => Loop(a, () =>
            {
                a.add(rax, __[rdi + rcx]);
                a.add(ecx, 61);
                a.and(ecx, 0xFFFF);
            }),
        },
        new()
        {
            Name = "pages-64",
            Operation = "load, each from another page of 64",
            Fill = FillNumbers,
            Emit = a => EmitPageWalk(a, 64),
        },
        new()
        {
            Name = "pages-512",
            Operation = "load, each from another page of 512",
            Fill = FillNumbers,
            Emit = a => EmitPageWalk(a, 512),
        },
        new()
        {
            Name = "pages-4096",
            Operation = "load, each from another page of 4096",
            Fill = FillNumbers,
            Emit = a => EmitPageWalk(a, 4096),
        },
        new()
        {
            Name = "alias-4M",
            Operation = "two loads, exactly 4 MiB apart",
            Fill = FillNumbers,
            Emit = a => Loop(a, () =>
            {
                a.add(rax, __[rdi + (rcx * 8)]);
                a.add(rax, __[rdi + (rcx * 8) + 0x40_0000]);
                a.inc(ecx);
                a.and(ecx, 2047);
            }),
        },
        new()
        {
            Name = "chase-16K",
            Operation = "follow a pointer, 16 KiB in all",
            Fill = FillRing(16 << 10, 64),
            Emit = EmitChase,
        },
        new()
        {
            Name = "chase-4M",
            Operation = "follow a pointer, 4 MiB in all",
            Fill = FillRing(4 << 20, 64),
            Emit = EmitChase,
        },
        new()
        {
            Name = "list",
            Operation = "follow a list, read and write two fields of each node; 64 KiB in all",
            Fill = FillRing(64 << 10, 64),
            Emit = a =>
            {
                a.mov(rbx, rdi);
                Loop(a, () =>
                {
                    a.mov(rdx, __[rbx + 8]);
                    a.add(__[rbx + 16], rdx);
                    a.inc(__dword_ptr[rbx + 24]);
                    a.add(rax, rdx);
                    a.mov(rbx, __[rbx]);
                });
            },
        },
        new()
        {
            Name = "atomic",
            Operation = "lock xadd and lock cmpxchg",
            Emit = a =>
            {
                a.mov(ebx, 1);
                Loop(a, () =>
                {
                    a.mov(edx, 3);
                    a.@lock.xadd(__[rdi], rdx);
                    a.mov(rax, rdx);
                    a.lea(r8, __[rax + 1]);
                    a.@lock.cmpxchg(__[rdi + 64], r8);
                });
                a.mov(rax, __[rdi]);
            },
        },
        new()
        {
            Name = "bit-string",
            Operation = "lock bts with the bit number in a register",
            Emit = a =>
            {
                a.mov(ebx, 1);
                Loop(a, () =>
                {
                    Random(a, ebx);
                    a.mov(edx, ebx);
                    a.shr(edx, 14);
                    a.@lock.bts(__[rdi], rdx);
                    a.adc(rax, 0);
                });
            },
        },
    ];

    private static void EmitPageWalk(Assembler a, int pages) => Loop(a, () =>
    {
        // 4096 + 64: another cache set each time, so that pages are measured and not the sets of the L1.
        a.add(rax, __[rdi + rcx]);
        a.add(ecx, 4096 + 64);
        a.and(ecx, (pages * 4096) - 1);
    });

    private static void EmitChase(Assembler a)
    {
        a.mov(rax, rdi);
        Loop(a, () => a.mov(rax, __[rax]));
        a.sub(rax, rdi);
    }
}
