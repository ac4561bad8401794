using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Execution;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>Code that really runs, with the verifier on, and is verified again with its links.</summary>
public sealed unsafe class LinkedBlocksTests
{
    public static TheoryData<bool, bool, bool> Modes => new()
    {
        { true, false, false },
        { false, false, false },
        { true, true, false },
        { false, true, false },
        { true, false, true },
        { false, false, true },
    };

    [Theory]
    [MemberData(nameof(Modes))]
    public void VerifyAll_AfterCallsLoopsAndJumps_NoObjections(bool user, bool noStackWindows, bool careful)
    {
        using VerifiedMachine machine = new(new ProcessorOptions { Verify = true, NoStackWindows = noStackWindows, AlwaysCareful = careful });
        Run(machine, user, Program);
        Assert.Empty(machine.Flat.Exceptions);
        Assert.Equal(1597UL, machine.Cpu.State->Rax);
        Assert.Empty(machine.Cpu.VerifyAll());
        Assert.Equal(machine.Cpu.Statistics.BlocksTranslated, machine.Cpu.Statistics.BlocksVerified);
        Assert.True(machine.Cpu.Statistics.BlocksVerified > 5);
        Assert.Equal(!careful, machine.Cpu.Cache.Of(user).Exits.Any(exit => exit.LinkedTo != null));
    }

    [Fact]
    public void VerifyAll_AfterDroppingALinkedBlock_NoObjections()
    {
        using VerifiedMachine machine = new(new ProcessorOptions { Verify = true });
        Run(machine, user: true, Program);
        Block linked = machine.Cpu.Cache.Of(user: true).Exits.First(exit => exit.LinkedTo is { Dropped: false }).LinkedTo!;
        machine.Cpu.Cache.Drop(linked);
        Assert.Empty(machine.Cpu.VerifyAll());
        Assert.True(linked.Dropped);
    }

    [Fact]
    public void Verify_LinkToOtherPlaces_Objects()
    {
        using VerifiedMachine machine = new();
        Run(machine, user: true, Program);
        CodeRegion cache = machine.Cpu.Cache.Of(user: true);
        int tried = 0;
        foreach (BlockExit exit in cache.Exits.Where(exit => exit.LinkedTo != null))
        {
            Block target = exit.LinkedTo!;
            Mutator mutator = new(machine, exit.Owner);
            HostInstruction branch = mutator.All.Single(host => exit.Owner.HostStart + host.Offset + host.Instruction.Length == exit.Patch + 4);
            foreach (int wrong in (int[])[target.Entry + 1, target.Entry + 7, target.HostEnd, target.IndirectEntry, target.HostStart - 1, machine.Cpu.Stubs.Exit, machine.Cpu.Stubs.Enter])
            {
                mutator.Try(branch, bytes => BitConverter.TryWriteBytes(bytes.AsSpan(bytes.Length - 4), wrong - (exit.Patch + 4)), $"link to {wrong:x}");
            }

            tried += mutator.Tried;
            Assert.Empty(mutator.Missed);
        }

        Assert.True(tried > 40, $"{tried} tried");
    }

    [Fact]
    public void Verify_LinkToBlockOfOtherModeOrAddress_Objects()
    {
        using VerifiedMachine machine = new();
        Run(machine, user: true, Program);
        CodeRegion cache = machine.Cpu.Cache.Of(user: true);
        int number = cache.Exits.Select((exit, number) => (exit, number)).First(pair => pair.exit.LinkedTo != null).number;
        BlockExit good = cache.Exits[number];
        Block kernel = machine.Cpu.TranslateOnly(good.Target, user: false, BlockVariant.Normal)!;
        Block elsewhere = machine.Cpu.TranslateOnly(FlatMachine.Code + 0x3000, user: true, BlockVariant.Normal)!;
        Block careful = machine.Cpu.TranslateOnly(good.Target, user: true, BlockVariant.Careful)!;
        byte[] bytes = machine.Cpu.HostBytes(good.Owner).ToArray();
        Assert.True(machine.Accepts(good.Owner, bytes));
        foreach (Block wrong in (Block[])[kernel, elsewhere, careful])
        {
            cache.Exits[number] = good with { LinkedTo = wrong };
            BitConverter.TryWriteBytes(bytes.AsSpan(good.Patch - good.Owner.HostStart), wrong.Entry - (good.Patch + 4));
            Assert.False(machine.Accepts(good.Owner, bytes));
        }

        cache.Exits[number] = good;
    }

    [Fact]
    public void VerifyAll_RandomProgramsAndFlushes_NoObjections()
    {
        using VerifiedMachine machine = new(new ProcessorOptions { Verify = true, CodeCacheSize = 256 * 1024 });
        GuestCodeGenerator generator = new(9);
        for (int i = 0; i < 300; i++)
        {
            foreach (Block block in machine.Translate(generator.Sequence(10), (i % 150) * 400))
            {
                Assert.False(block.Dropped);
            }

            if (i % 50 == 0)
            {
                Assert.Empty(machine.Cpu.VerifyAll());
            }
        }

        Assert.True(machine.Cpu.Statistics.CacheFlushes > 0);
    }

    private static void Run(VerifiedMachine machine, bool user, Action<Assembler> program)
    {
        ulong half = user ? 0 : VerifiedMachine.KernelHalf;
        Assembler assembler = new(64);
        program(assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), half + FlatMachine.Code);
        machine.Flat.Memory.TryWrite(FlatMachine.Code, stream.ToArray());
        machine.Cpu.State->UserMode = user ? 1u : 0;
        machine.Cpu.State->Rip = half + FlatMachine.Code;
        machine.Cpu.State->Rsp = half + FlatMachine.StackTop;
        machine.Cpu.State->Rbx = half + FlatMachine.Data;
        machine.Cpu.Run();
    }

    // fib(17) by recursion, through a pointer, with a loop and a jump to the next page.
    private static void Program(Assembler a)
    {
        Label fib = a.CreateLabel();
        Label small = a.CreateLabel();
        Label far = a.CreateLabel();
        Label loop = a.CreateLabel();
        a.lea(rax, __[fib]);
        a.mov(__[rbx], rax);
        a.mov(ecx, 10);
        a.Label(ref loop);
        a.add(__qword_ptr[rbx + 8], rcx);
        a.bts(__dword_ptr[rbx + 16], ecx);
        a.mov(ah, __[rbx + 9]);
        a.mov(r9, __[rbx + 8]);
        a.dec(ecx);
        a.jnz(loop);
        a.mov(edi, 17);
        a.call(__qword_ptr[rbx]);
        a.jmp(far);
        a.Label(ref fib);
        a.cmp(edi, 2);
        a.jb(small);
        a.push(rdi);
        a.sub(edi, 1);
        a.call(fib);
        a.pop(rdi);
        a.push(rax);
        a.sub(edi, 2);
        a.call(fib);
        a.pop(r10);
        a.add(rax, r10);
        a.ret();
        a.Label(ref small);
        a.mov(eax, edi);
        a.ret();
        for (int i = 0; i < 4096; i++)
        {
            a.int3();
        }

        a.Label(ref far);
        a.lea(rdi, __[rbx + 64]);
        a.mov(ecx, 4);
        a.rep.stosb();
        a.syscall();
    }
}
