using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>Ways out of translated code, and instructions of kernels.</summary>
internal static partial class Snippets
{
    private const int GetParent = 110; // getppid of Linux

    private static IEnumerable<Snippet> System =>
    [
        new()
        {
            Name = "syscall",
            Operation = "system call: here to an empty handler, natively getppid",
            Native = NativeSide.Linux,
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.mov(eax, GetParent);
                    a.syscall();
                });
                a.xor(eax, eax);
            },
        },
        new()
        {
            Name = "thread-local",
            Operation = "load relative to fs",
            Native = NativeSide.Linux,
            Emit = a =>
            {
                Loop(a, () => a.mov(rdx, __qword_ptr.fs[0]));
                a.xor(eax, eax);
            },
        },
        new()
        {
            Name = "rdtsc",
            Operation = "rdtsc",
            Emit = a =>
            {
                Loop(a, () => a.rdtsc());
                a.xor(eax, eax);
            },
        },
        new()
        {
            Name = "pushf-popf",
            Operation = "pushfq, popfq",
            Emit = a => Loop(a, () =>
            {
                a.pushfq();
                a.popfq();
            }),
        },
        new()
        {
            Name = "flush-touch-64",
            Operation = "TLB flush and the first access to 64 pages",
            Native = NativeSide.Never,
            Emit = a => Loop(a, () =>
            {
                a.mov(eax, FlatGuest.FlushCall);
                a.syscall();
                a.mov(rbx, rdi);
                Loop(a, edx, 64, () =>
                {
                    a.add(rax, __[rbx]);
                    a.add(rbx, 4096);
                });
            }),
        },
        new()
        {
            Name = "rewrite-code",
            Operation = "change an instruction and run it",
            Native = NativeSide.Never,
            Emit = a =>
            {
                Label changed = a.CreateLabel();
                a.lea(rbx, __[changed]);
                Loop(a, () =>
                {
                    a.mov(__[rbx + 1], esi);
                    a.Label(ref changed);
                    a.mov(ecx, 0x11111111);
                    a.add(rax, rcx);
                });
            },
        },
    ];
}
