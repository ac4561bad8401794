using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>Inner loops of whole programs.</summary>
internal static partial class Snippets
{
    private const int SortedWords = 4096, TreeNodes = 65535, HashSlots = 1 << 16;

    private static IEnumerable<Snippet> Programs =>
    [
        new()
        {
            Name = "shell-sort",
            Operation = "sort one of 4096 words",
            Operations = SortedWords,
            Emit = EmitSort,
        },
        new()
        {
            Name = "tree-search",
            Operation = "search a binary tree of 64 Ki nodes",
            Fill = FillTree,
            Emit = a =>
            {
                a.mov(ebx, 1);
                Loop(a, () =>
                {
                    Label next = a.CreateLabel();
                    Label found = a.CreateLabel();
                    Random(a, ebx);
                    a.mov(edx, ebx);
                    a.shr(edx, 16);
                    a.mov(r8, __[rdi]);
                    a.Label(ref next);
                    a.inc(rax);
                    a.mov(r9, __[r8 + 8]);
                    a.cmp(__[r8 + 16], edx);
                    a.cmova(r9, __[r8]);
                    a.je(found);
                    a.mov(r8, r9);
                    a.test(r8, r8);
                    a.jnz(next);
                    a.Label(ref found);
                });
            },
        },
        new()
        {
            Name = "hash-table",
            Operation = "count a word in an open hash table",
            Emit = a =>
            {
                a.mov(ebx, 1);
                Loop(a, () =>
                {
                    Label probe = a.CreateLabel();
                    Label free = a.CreateLabel();
                    Label found = a.CreateLabel();
                    Random(a, ebx);
                    a.mov(edx, ebx);
                    a.shr(edx, 17);
                    a.inc(edx);
                    a.imul(ecx, edx, unchecked((int)2654435761));
                    a.shr(ecx, 12);
                    a.Label(ref probe);
                    a.and(ecx, HashSlots - 1);
                    a.mov(r8d, __[rdi + (rcx * 8)]);
                    a.test(r8d, r8d);
                    a.jz(free);
                    a.cmp(r8d, edx);
                    a.je(found);
                    a.inc(ecx);
                    a.jmp(probe);
                    a.Label(ref free);
                    a.mov(__[rdi + (rcx * 8)], edx);
                    a.Label(ref found);
                    a.inc(__dword_ptr[rdi + (rcx * 8) + 4]);
                    a.add(eax, __[rdi + (rcx * 8) + 4]);
                });
            },
        },
        new()
        {
            Name = "bytecode",
            Operation = "one instruction of an interpreted program",
            Operations = 7 * 100,
            Emit = EmitInterpreter,
        },
    ];

    private static void EmitSort(Assembler a) => Loop(a, () =>
    {
        Label nextGap = a.CreateLabel();
        Label nextWord = a.CreateLabel();
        Label move = a.CreateLabel();
        Label place = a.CreateLabel();
        a.mov(ebx, 1);
        a.xor(ecx, ecx);
        Label fill = a.CreateLabel();
        a.Label(ref fill);
        Random(a, ebx);
        a.mov(__[rdi + (rcx * 4)], ebx);
        a.inc(ecx);
        a.cmp(ecx, SortedWords);
        a.jb(fill);

        a.mov(r8d, SortedWords / 2);
        a.Label(ref nextGap);
        a.mov(ecx, r8d);
        a.Label(ref nextWord);
        a.mov(edx, __[rdi + (rcx * 4)]);
        a.mov(r9d, ecx);
        a.Label(ref move);
        a.mov(r10d, r9d);
        a.sub(r10d, r8d);
        a.jb(place);
        a.mov(r11d, __[rdi + (r10 * 4)]);
        a.cmp(r11d, edx);
        a.jbe(place);
        a.mov(__[rdi + (r9 * 4)], r11d);
        a.mov(r9d, r10d);
        a.jmp(move);
        a.Label(ref place);
        a.mov(__[rdi + (r9 * 4)], edx);
        a.inc(ecx);
        a.cmp(ecx, SortedWords);
        a.jb(nextWord);
        a.shr(r8d, 1);
        a.jnz(nextGap);
        a.mov(eax, __[rdi + 400]);
    });

    /// <summary>A pointer to the root, then nodes of 32 bytes in random places: left, right, key (4 bytes).</summary>
    private static void FillTree(Span<byte> data, ulong address)
    {
        int[] places = [.. Enumerable.Range(1, TreeNodes)];
        new Random(2).Shuffle(places);
        Span<byte> bytes = data;
        ulong root = Add(bytes, 0, TreeNodes);
        MemoryMarshal.Write(bytes, root);

        ulong Add(Span<byte> all, int low, int high)
        {
            if (low >= high)
            {
                return 0;
            }

            int middle = (low + high) / 2;
            int offset = places[middle] * 32;
            MemoryMarshal.Write(all[offset..], Add(all, low, middle));
            MemoryMarshal.Write(all[(offset + 8)..], Add(all, middle + 1, high));
            MemoryMarshal.Write(all[(offset + 16)..], middle);
            return address + (ulong)offset;
        }
    }

    /// <summary>
    /// Threaded code with an operand stack, as interpreters have it: rbx points to the next byte, r12 to the stack, a table
    /// of handlers is at rdi. The program counts variable 0 down from 100 and adds it to variable 1.
    /// </summary>
    private static void EmitInterpreter(Assembler a)
    {
        const int Variables = 0x400, OperandStack = 0x1000, Program = 0x2000;
        const byte Load = 0, Add = 1, Store = 2, DecrementAndBranch = 3, Nothing = 4, Constant = 5, End = 6;
        byte[] program =
        [
            Constant, 100, Store, 0, // variable 0 = 100
            Load, 0, Load, 1, Add, Store, 1, Constant, 7, Store, 2, DecrementAndBranch, 0, unchecked((byte)-14), // 7 instructions
            End,
        ];
        Label[] handlers = [.. Enumerable.Range(0, 7).Select(_ => a.CreateLabel())];
        Label end = a.CreateLabel();
        for (int i = 0; i < handlers.Length; i++)
        {
            a.lea(rdx, __[handlers[i]]);
            a.mov(__[rdi + (i * 8)], rdx);
        }

        for (int i = 0; i < program.Length; i++)
        {
            a.mov(__byte_ptr[rdi + Program + i], program[i]);
        }

        Loop(a, () =>
        {
            a.lea(rbx, __[rdi + Program]);
            a.lea(r12, __[rdi + OperandStack]);
            Dispatch();
            a.Label(ref handlers[Load]);
            a.movzx(ecx, __byte_ptr[rbx]);
            a.mov(rax, __[rdi + (rcx * 8) + Variables]);
            a.mov(__[r12], rax);
            a.add(r12, 8);
            a.inc(rbx);
            Dispatch();
            a.Label(ref handlers[Add]);
            a.sub(r12, 8);
            a.mov(rax, __[r12]);
            a.add(__[r12 - 8], rax);
            Dispatch();
            a.Label(ref handlers[Store]);
            a.movzx(ecx, __byte_ptr[rbx]);
            a.sub(r12, 8);
            a.mov(rax, __[r12]);
            a.mov(__[rdi + (rcx * 8) + Variables], rax);
            a.inc(rbx);
            Dispatch();
            a.Label(ref handlers[DecrementAndBranch]);
            a.movzx(ecx, __byte_ptr[rbx]);
            a.movsx(rdx, __byte_ptr[rbx + 1]);
            a.add(rbx, 2);
            a.dec(__qword_ptr[rdi + (rcx * 8) + Variables]);
            Label done = a.CreateLabel();
            a.jz(done);
            a.add(rbx, rdx);
            a.Label(ref done);
            Dispatch();
            a.Label(ref handlers[Nothing]);
            Dispatch();
            a.Label(ref handlers[Constant]);
            a.movsx(rax, __byte_ptr[rbx]);
            a.mov(__[r12], rax);
            a.add(r12, 8);
            a.inc(rbx);
            Dispatch();
            a.Label(ref handlers[End]);
        });
        a.mov(rax, __[rdi + Variables + 8]);
        a.Label(ref end);
        a.nop();

        void Dispatch()
        {
            a.movzx(ecx, __byte_ptr[rbx]);
            a.inc(rbx);
            a.jmp(__qword_ptr[rdi + (rcx * 8)]);
        }
    }
}
