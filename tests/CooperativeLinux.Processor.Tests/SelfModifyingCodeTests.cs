using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Oracle;
using CooperativeLinux.Processor.Tests.Translated;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests;

/// <summary>Code that writes code, against the real processor: in its own block, its own page, the other page, through the alias.</summary>
public sealed class SelfModifyingCodeTests(NativeRunnerFixture fixture)
{
    private const ulong FirstPage = TestLayout.High + (TestLayout.CodeFirst * TestLayout.PageSize);
    private const ulong SecondPage = FirstPage + TestLayout.PageSize;
    private const ulong Alias = TestLayout.High - TestLayout.Low;

    public static TheoryData<string, int> Cases
    {
        get
        {
            TheoryData<string, int> data = [];
            foreach (string name in Programs.Keys)
            {
                foreach (int most in (ReadOnlySpan<int>)[64, 1, 3])
                {
                    data.Add(name, most);
                }
            }

            return data;
        }
    }

    private static Dictionary<string, Action<Assembler>> Programs => new()
    {
        // The immediate of the next instruction is changed by the store in front of it.
        ["next instruction"] = c =>
        {
            Label patched = c.CreateLabel();
            c.lea(rdi, __[patched]);
            c.mov(__byte_ptr[rdi + 1], 0x55);
            c.Label(ref patched);
            c.mov(eax, 0x11);
        },
        ["next instruction through the alias"] = c =>
        {
            Label patched = c.CreateLabel();
            c.lea(rdi, __[patched]);
            c.mov(rcx, unchecked((long)Alias));
            c.sub(rdi, rcx);
            c.mov(__byte_ptr[rdi + 1], 0x55);

            // Between different linear addresses only a serialising instruction promises the new bytes; far enough behind, all
            // processors see them anyway.
            for (int i = 0; i < 3; i++)
            {
                c.mov(rdx, __qword_ptr[rdi]);
                c.mfence();
                c.lfence();
            }

            c.Label(ref patched);
            c.mov(eax, 0x11);
        },
        ["push as the store"] = c =>
        {
            Label patched = c.CreateLabel();
            c.mov(rbx, rsp);
            c.lea(rsp, __[patched]);
            c.add(rsp, 9);
            c.mov(rdx, 0x0000_0055_B890_9090L);
            c.push(rdx);
            c.Label(ref patched);
            c.nop();
            c.nop();
            c.nop();
            c.nop();
            c.mov(eax, 0x11);
            c.nop();
            c.nop();
            c.mov(rsp, rbx);
        },
        ["loop that patches itself"] = c =>
        {
            Label loop = c.CreateLabel(), patched = c.CreateLabel();
            c.xor(ebx, ebx);
            c.mov(ecx, 40);
            c.lea(rdi, __[patched]);
            c.Label(ref loop);
            c.mov(__byte_ptr[rdi + 2], cl);
            c.Label(ref patched);
            c.add(ebx, (sbyte)1);
            c.dec(ecx);
            c.jne(loop);
        },
        ["function rewritten between calls"] = c =>
        {
            Label function = c.CreateLabel(), end = c.CreateLabel();
            c.lea(rdi, __[function]);
            c.xor(ebx, ebx);
            for (int i = 0; i < 6; i++)
            {
                c.call(function);
                c.add(ebx, eax);
                c.inc(__dword_ptr[rdi + 1]);
            }

            c.jmp(end);
            c.Label(ref function);
            c.mov(eax, 100);
            c.ret();
            c.Label(ref end);
            c.nop();
        },
        ["string store over code"] = c =>
        {
            Label patched = c.CreateLabel();
            c.lea(rdi, __[patched]);
            c.mov(eax, 0x90);
            c.mov(ecx, 12);
            c.rep.stosb();
            c.Label(ref patched);
            for (int i = 0; i < 6; i++)
            {
                c.inc(rbx);
            }

            for (int i = 0; i < 12; i++)
            {
                c.nop();
            }

            c.mov(edx, 5);
        },
        ["vector store over code"] = c =>
        {
            Label patched = c.CreateLabel();
            c.lea(rdi, __[patched]);
            c.mov(eax, unchecked((int)0x9090_9090));
            c.vmovd(xmm1, eax);
            c.vpbroadcastd(ymm1, xmm1);
            c.vmovdqu(__ymmword_ptr[rdi], ymm1);
            c.Label(ref patched);
            for (int i = 0; i < 20; i++)
            {
                c.inc(ebx);
            }
        },
        ["copied to the second page and changed there"] = c =>
        {
            Label function = c.CreateLabel(), after = c.CreateLabel();
            c.xor(ebx, ebx);
            c.mov(rdx, (long)SecondPage + 200);
            for (int i = 0; i < 4; i++)
            {
                c.lea(rsi, __[function]);
                c.mov(rdi, rdx);
                c.mov(ecx, 8);
                c.rep.movsb();
                c.mov(__byte_ptr[rdx + 1], 7 + i);
                c.call(rdx);
                c.add(rbx, rax);
            }

            c.jmp(after);
            c.Label(ref function);
            c.mov(eax, 3);
            c.ret();
            c.nop();
            c.nop();
            c.Label(ref after);
            c.nop();
        },
        ["locked and exchanging stores"] = c =>
        {
            Label first = c.CreateLabel(), second = c.CreateLabel();
            c.lea(rdi, __[first]);
            c.@lock.add(__byte_ptr[rdi + 1], 3);
            c.Label(ref first);
            c.mov(eax, 0x10);
            c.lea(rdi, __[second]);
            c.mov(edx, 0x77);
            c.xchg(__byte_ptr[rdi + 1], dl);
            c.Label(ref second);
            c.mov(ecx, 0x10);
        },
        ["store that only touches data of the code page"] = c =>
        {
            Label loop = c.CreateLabel();
            c.mov(rdi, (long)FirstPage + 0xF00);
            c.mov(ecx, 300);
            c.Label(ref loop);
            c.add(__dword_ptr[rdi], ecx);
            c.dec(ecx);
            c.jne(loop);
        },
        ["call pushes its return address over code"] = c =>
        {
            // The return address lands in a nop sled that runs afterwards: only bytes that were not executed yet change.
            Label sled = c.CreateLabel(), function = c.CreateLabel(), end = c.CreateLabel();
            c.mov(rbx, rsp);
            c.lea(rsp, __[end]);
            c.add(rsp, 64);
            c.call(function);
            c.Label(ref sled);
            c.mov(rax, __qword_ptr[rsp - 8]);
            c.mov(rsp, rbx);
            c.jmp(end);
            c.Label(ref function);
            c.inc(r8);
            c.ret();
            c.Label(ref end);
            c.nop();
        },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Program_Translated_MatchesProcessor(string name, int maxBlockInstructions)
    {
        using TranslatedRunner translated = new(new RunnerOptions { Processor = new ProcessorOptions { Verify = TestScale.Verify, MaxBlockInstructions = maxBlockInstructions } });
        DifferentialTester tester = new(fixture.Oracle, translated);
        foreach (ulong address in (ReadOnlySpan<ulong>)[FirstPage + 0x40, SecondPage - 1, SecondPage - 9, SecondPage - 12, SecondPage - 20, SecondPage - 40])
        {
            TestCase test = CreateCase(name, address);

            // Twice: the second time the code was written from outside.
            tester.Check(test, name);
            tester.Check(CreateCase(name, address), name);
        }

        Assert.True(tester.Passed, tester.Summary());
    }

    private static TestCase CreateCase(string name, ulong address)
    {
        Assembler assembler = new(64);
        Programs[name](assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        TestState state = new() { Rip = address };
        TestLayout.CreatePattern().CopyTo(state.Memory, 0);
        state.Registers[4] = TestLayout.High + TestLayout.StackMiddle;
        byte[] code = stream.ToArray();
        state.Write(address, code);
        return new TestCase { Name = $"{name} at {address:x}", Start = state, CodeLength = code.Length };
    }
}
