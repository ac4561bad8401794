using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>The stack, calls and jumps.</summary>
internal static partial class Snippets
{
    private static IEnumerable<Snippet> Control =>
    [
        new()
        {
            Name = "push-pop",
            Operation = "four pushes and four pops",
            Emit = a =>
            {
                Loop(a, () =>
                {
                    a.push(rsi);
                    a.push(rbx);
                    a.push(rbp);
                    a.push(r12);
                    a.pop(r12);
                    a.pop(rbp);
                    a.pop(rbx);
                    a.pop(rax);
                });
            },
        },
        new()
        {
            Name = "locals",
            Operation = "frame of 64 bytes, three stores and three loads relative to rsp",
            Emit = a => Loop(a, () =>
            {
                a.sub(rsp, 64);
                a.mov(__[rsp + 8], rsi);
                a.mov(__[rsp + 16], rax);
                a.mov(__dword_ptr[rsp + 24], 5);
                a.add(rax, __[rsp + 8]);
                a.xor(rax, __[rsp + 16]);
                a.add(eax, __[rsp + 24]);
                a.add(rsp, 64);
            }),
        },
        new()
        {
            Name = "call",
            Operation = "call of an empty function",
            Emit = a =>
            {
                Label function = Function(a, () => a.inc(eax));
                Loop(a, () => a.call(function));
            },
        },
        new()
        {
            Name = "call-frame",
            Operation = "call of a function with rbp frame and two locals",
            Emit = a =>
            {
                Label function = Function(a, () =>
                {
                    a.push(rbp);
                    a.mov(rbp, rsp);
                    a.sub(rsp, 32);
                    a.mov(__[rbp - 8], rsi);
                    a.mov(__[rbp - 16], rax);
                    a.mov(rax, __[rbp - 8]);
                    a.add(rax, __[rbp - 16]);
                    a.leave();
                });
                Loop(a, () => a.call(function));
            },
        },
        new()
        {
            Name = "fib",
            Operation = "one call of the recursive Fibonacci function",
            Operations = 21891,
            Emit = EmitFibonacci,
        },
        new()
        {
            Name = "recursion-200",
            Operation = "one call of a recursion 200 deep",
            Operations = 200,
            Emit = a =>
            {
                Label function = a.CreateLabel();
                Label end = a.CreateLabel();
                Label over = a.CreateLabel();
                a.jmp(over);
                a.Label(ref function);
                a.dec(ecx);
                a.jz(end);
                a.push(rcx);
                a.call(function);
                a.pop(rcx);
                a.add(rax, rcx);
                a.Label(ref end);
                a.ret();
                a.Label(ref over);
                Loop(a, () =>
                {
                    a.mov(ecx, 200);
                    a.call(function);
                });
            },
        },
        new()
        {
            Name = "call-table",
            Operation = "call through a table of four functions, in turn",
            Emit = a =>
            {
                for (int i = 0; i < 4; i++)
                {
                    int step = i + 1;
                    Label function = Function(a, () => a.add(rax, step));
                    a.lea(rdx, __[function]);
                    a.mov(__[rdi + (i * 8)], rdx);
                }

                Loop(a, () =>
                {
                    a.mov(ecx, esi);
                    a.and(ecx, 3);
                    a.call(__qword_ptr[rdi + (rcx * 8)]);
                });
            },
        },
        new()
        {
            Name = "jump-same",
            Operation = "indirect jump, always to the same place",
            Emit = a =>
            {
                Label target = a.CreateLabel();
                a.lea(rdx, __[target]);
                Loop(a, () =>
                {
                    a.jmp(rdx);
                    a.Label(ref target);
                    a.inc(eax);
                });
            },
        },
        new()
        {
            Name = "jump-table",
            Operation = "indirect jump to one of 8 places, in random order",
            Fill = (data, address) =>
            {
                FillNumbers(data, address);
                data[..64].Clear();
            },
            Emit = a =>
            {
                Label[] targets = [.. Enumerable.Range(0, 8).Select(_ => a.CreateLabel())];
                Label join = a.CreateLabel();
                for (int i = 0; i < targets.Length; i++)
                {
                    a.lea(rdx, __[targets[i]]);
                    a.mov(__[rdi + (i * 8)], rdx);
                }

                a.mov(ebx, 1);
                Loop(a, () =>
                {
                    Random(a, ebx);
                    a.mov(ecx, ebx);
                    a.shr(ecx, 29);
                    a.jmp(__qword_ptr[rdi + (rcx * 8)]);
                    for (int i = 0; i < targets.Length; i++)
                    {
                        a.Label(ref targets[i]);
                        a.add(rax, i + 1);
                        a.jmp(join);
                    }

                    a.Label(ref join);
                });
            },
        },
        new()
        {
            Name = "branch-random",
            Operation = "branch that no predictor knows",
            Emit = a =>
            {
                a.mov(ebx, 1);
                Loop(a, () =>
                {
                    Label skip = a.CreateLabel();
                    Random(a, ebx);
                    a.test(ebx, 0x10_0000);
                    a.jz(skip);
                    a.add(rax, 3);
                    a.Label(ref skip);
                });
            },
        },
    ];

    /// <summary>A function in the midst of the code, jumped over.</summary>
    private static Label Function(Assembler a, Action body)
    {
        Label function = a.CreateLabel();
        Label over = a.CreateLabel();
        a.jmp(over);
        a.Label(ref function);
        body();
        a.ret();
        a.Label(ref over);
        return function;
    }

    private static void EmitFibonacci(Assembler a)
    {
        Label function = a.CreateLabel();
        Label small = a.CreateLabel();
        Label over = a.CreateLabel();
        a.jmp(over);
        a.Label(ref function);
        a.cmp(ecx, 2);
        a.jb(small);
        a.push(rcx);
        a.dec(ecx);
        a.call(function);
        a.pop(rcx);
        a.push(rax);
        a.sub(ecx, 2);
        a.call(function);
        a.pop(rdx);
        a.add(rax, rdx);
        a.ret();
        a.Label(ref small);
        a.mov(eax, ecx);
        a.ret();
        a.Label(ref over);
        Loop(a, () =>
        {
            a.mov(ecx, 20);
            a.call(function);
        });
    }
}
