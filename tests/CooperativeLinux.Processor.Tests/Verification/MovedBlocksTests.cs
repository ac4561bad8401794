using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Execution;
using Iced.Intel;
using Xunit;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>Blocks that are copied for another guest address instead of being translated again.</summary>
public sealed class MovedBlocksTests
{
    // Level-4 entries of the user half that show the same 2 MiB.
    private static readonly ulong[] s_places = [10UL << 39, 170UL << 39, 255UL << 39];

    [Fact]
    public void TranslateOnly_SecondPlace_GivesTheBytesOfATranslation()
    {
        int moved = 0;
        GuestCodeGenerator generator = new(41);
        for (int round = 0; round < 20; round++)
        {
            using VerifiedMachine copying = Machine(neverMove: false);
            using VerifiedMachine translating = Machine(neverMove: true);
            for (int i = 0; i < 40; i++)
            {
                byte[] code = generator.Sequence(10);
                ulong offset = (ulong)((round * 40) + i) * 97 % 0xF000;
                foreach (VerifiedMachine machine in (VerifiedMachine[])[copying, translating])
                {
                    machine.Flat.Memory.TryWrite(FlatMachine.Code + offset, code);
                }

                foreach (BlockVariant variant in (BlockVariant[])[BlockVariant.Normal, BlockVariant.NoStackWindow])
                {
                    foreach (ulong place in s_places)
                    {
                        Block? copy = copying.Cpu.TranslateOnly(place + FlatMachine.Code + offset, user: true, variant);
                        Block? translation = translating.Cpu.TranslateOnly(place + FlatMachine.Code + offset, user: true, variant);
                        Assert.Equal(translation == null, copy == null);
                        if (copy != null)
                        {
                            AssertSame(translating, translation!, copying, copy);
                        }
                    }
                }
            }

            moved += (int)copying.Cpu.Statistics.BlocksMoved;
            Assert.Equal(0, translating.Cpu.Statistics.BlocksMoved);
            Assert.Empty(copying.Cpu.VerifyAll());
        }

        Assert.InRange(moved, 1500, int.MaxValue);
    }

    [Fact]
    public void Run_SecondPlace_DoesTheSame()
    {
        using VerifiedMachine machine = Machine(neverMove: false);
        byte[] code = Program(factor: 3);
        machine.Flat.Memory.TryWrite(FlatMachine.Code + 0x0FF0, code);
        foreach (ulong place in s_places)
        {
            Assert.Equal(3 * 10 * 11 / 2UL, Run(machine, place));
        }

        Assert.InRange(machine.Cpu.Statistics.BlocksMoved, 4, long.MaxValue);
        Assert.Empty(machine.Cpu.VerifyAll());
    }

    [Fact]
    public void Run_CodeChanged_DoesWhatTheNewCodeSays()
    {
        using VerifiedMachine machine = Machine(neverMove: false);
        machine.Flat.Memory.TryWrite(FlatMachine.Code + 0x0FF0, Program(factor: 3));
        Run(machine, s_places[0]);
        Run(machine, s_places[1]);

        // Also when only the templates are left.
        machine.Cpu.Cache.Clear(user: true);
        machine.Flat.Memory.TryWrite(FlatMachine.Code + 0x0FF0, Program(factor: 5));

        Assert.Equal(5 * 10 * 11 / 2UL, Run(machine, s_places[2]));
    }

    [Fact]
    public void Run_AfterAFlush_MovesAgain()
    {
        using VerifiedMachine machine = Machine(neverMove: false);
        machine.Flat.Memory.TryWrite(FlatMachine.Code + 0x0FF0, Program(factor: 3));
        Run(machine, s_places[0]);
        long translated = machine.Cpu.Statistics.BlocksTranslated;

        machine.Cpu.Cache.Clear(user: true);
        machine.Cpu.FlushAllTlbs();

        Assert.Equal(3 * 10 * 11 / 2UL, Run(machine, s_places[1]));
        Assert.Equal(translated, machine.Cpu.Statistics.BlocksTranslated);
    }

    private static VerifiedMachine Machine(bool neverMove)
    {
        VerifiedMachine machine = new(new ProcessorOptions { Verify = true, NeverMove = neverMove, NeverSample = true });
        foreach (ulong place in s_places)
        {
            machine.Flat.Table(1, place >> 39, 0x2000 | 7);
        }

        return machine;
    }

    private static void AssertSame(VerifiedMachine translating, Block translation, VerifiedMachine copying, Block copy)
    {
        Assert.Equal(translation.HostStart, copy.HostStart);
        Assert.Equal(translating.Cpu.HostBytes(translation).ToArray(), copying.Cpu.HostBytes(copy).ToArray());
        CodeRegion expected = translating.Cpu.Cache.Of(user: true);
        CodeRegion actual = copying.Cpu.Cache.Of(user: true);
        Assert.Equal(
            expected.Exits.Copy(translation.FirstExit, translation.ExitCount).Select(exit => (exit.Target, exit.Variant, exit.Patch, exit.Cold)),
            actual.Exits.Copy(copy.FirstExit, copy.ExitCount).Select(exit => (exit.Target, exit.Variant, exit.Patch, exit.Cold)));
        Assert.Equal(
            expected.Sites.Copy(translation.FirstSite, translation.SiteCount).Select(site => (site.Rip, site.Size, site.Write, site.Stack, site.CanBounce)),
            actual.Sites.Copy(copy.FirstSite, copy.SiteCount).Select(site => (site.Rip, site.Size, site.Write, site.Stack, site.CanBounce)));
        Assert.Equal(
            expected.Instructions.Copy(translation.FirstInstruction, translation.InstructionCount).Select(entry => (entry.Instruction.IP, entry.Instruction)),
            actual.Instructions.Copy(copy.FirstInstruction, copy.InstructionCount).Select(entry => (entry.Instruction.IP, entry.Instruction)));
        Assert.Equal(
            expected.FaultPoints.Copy(translation.FirstFaultPoint, translation.FaultPointCount),
            actual.FaultPoints.Copy(copy.FirstFaultPoint, copy.FaultPointCount));
        Assert.Equal(translation.Landings ?? [], copy.Landings ?? []);
        Assert.Equal((translation.Entry, translation.CheckedEntry, translation.IndirectEntry), (copy.Entry, copy.CheckedEntry, copy.IndirectEntry));
    }

    private static unsafe ulong Run(VerifiedMachine machine, ulong place)
    {
        machine.Cpu.State->UserMode = 1;
        machine.Cpu.State->Rip = place + FlatMachine.Code + 0x0FF0;
        machine.Cpu.State->Rsp = place + FlatMachine.StackTop;
        machine.Cpu.Run();
        Assert.Empty(machine.Flat.Exceptions);
        return machine.Cpu.State->Rax;
    }

    // Calls, a loop, rip-relative data, an indirect call and a string instruction, over a page border.
    private static byte[] Program(int factor)
    {
        Assembler assembler = new(64);
        Label function = assembler.CreateLabel();
        Label data = assembler.CreateLabel();
        Label loop = assembler.CreateLabel();
        assembler.lea(AssemblerRegisters.rdi, AssemblerRegisters.__[data]);
        assembler.xor(AssemblerRegisters.eax, AssemblerRegisters.eax);
        assembler.mov(AssemblerRegisters.ecx, 1);
        assembler.rep.stosq();
        assembler.mov(AssemblerRegisters.ebx, 10);
        assembler.Label(ref loop);
        assembler.call(function);
        assembler.dec(AssemblerRegisters.ebx);
        assembler.jnz(loop);
        assembler.mov(AssemblerRegisters.rax, AssemblerRegisters.__qword_ptr[data]);
        assembler.syscall();
        assembler.Label(ref function);
        assembler.mov(AssemblerRegisters.eax, AssemblerRegisters.ebx);
        assembler.imul(AssemblerRegisters.eax, AssemblerRegisters.eax, factor);
        assembler.add(AssemblerRegisters.__qword_ptr[data], AssemblerRegisters.rax);
        assembler.ret();
        assembler.Label(ref data);
        assembler.dq(0);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), FlatMachine.Code + 0x0FF0);
        return stream.ToArray();
    }
}
