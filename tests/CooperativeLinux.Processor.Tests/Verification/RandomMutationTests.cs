using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;
using Xunit;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>Overwrites random bytes of blocks. What the verifier accepts must still have the shape of emitted code, judged by other
/// means: without data flow, from the order of instructions alone.</summary>
public sealed class RandomMutationTests
{
    private const int LookupSteps = 8;
    private const int Engine = 4096;
    private const int Argument = Engine + 32;
    private const int BranchTarget = Engine + 184;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Verify_RandomBytesChanged_AcceptsOnlyHarmlessOnes(int seed)
    {
        Random random = new(seed);
        GuestCodeGenerator generator = new(seed + 500);
        using VerifiedMachine machine = new();
        List<string> missed = [];
        int accepted = 0;
        int rejected = 0;
        for (int i = 0; i < 25; i++)
        {
            foreach (Block block in machine.Translate(generator.Sequence(5), i * 400))
            {
                byte[] original = machine.Cpu.HostBytes(block).ToArray();
                List<Instruction> before = Decode(machine, block, original);
                for (int round = 0; round < 150; round++)
                {
                    byte[] bytes = (byte[])original.Clone();
                    int at = random.Next(bytes.Length);
                    int count = Math.Min(1 + random.Next(3), bytes.Length - at);
                    random.NextBytes(bytes.AsSpan(at, count));
                    if (!machine.Accepts(block, bytes))
                    {
                        rejected++;
                        continue;
                    }

                    accepted++;
                    string? danger = FindDanger(before, Decode(machine, block, bytes), machine, block);
                    if (danger != null)
                    {
                        missed.Add($"{danger} after a change at +{at:x} of {block.Key.Variant} [{machine.GuestCode(block)}]");
                    }
                }
            }
        }

        Assert.True(missed.Count == 0, $"{missed.Count} of {accepted} accepted, {rejected} rejected:\n{string.Join('\n', missed.Take(20))}");
        Assert.True(accepted > 500 && rejected > 5000, $"{accepted} accepted, {rejected} rejected");
    }

    private static List<Instruction> Decode(VerifiedMachine machine, Block block, byte[] bytes)
    {
        Decoder decoder = Decoder.Create(64, bytes);
        decoder.IP = machine.Cpu.HostAddress(block.HostStart);
        List<Instruction> instructions = [];
        while (decoder.IP < machine.Cpu.HostAddress(block.HostEnd))
        {
            decoder.Decode(out Instruction instruction);
            instructions.Add(instruction);
        }

        return instructions;
    }

    // What is wrong with a block, compared with the unharmed one, or null.
    private static string? FindDanger(List<Instruction> before, List<Instruction> after, VerifiedMachine machine, Block block)
    {
        ulong first = machine.Cpu.HostAddress(block.HostStart);
        ulong end = machine.Cpu.HostAddress(block.HostEnd);
        HashSet<ulong> starts = [.. after.Select(instruction => instruction.IP)];
        HashSet<ulong> exits = [.. ((CallbackKind[])[CallbackKind.Poll, CallbackKind.PageCheck, CallbackKind.Syscall])
            .Select(kind => machine.Cpu.HostAddress(machine.Cpu.Stubs.Callback(kind))), machine.Cpu.HostAddress(machine.Cpu.Stubs.BranchMiss)];
        HashSet<ulong> reachable = Reach(after, [.. ((int[])[block.CheckedEntry, block.IndirectEntry, block.Entry]).Select(machine.Cpu.HostAddress)]);
        HashSet<(ulong, string)> unchanged = [.. before.Where(instruction => !IsHostPage(instruction)).Select(instruction => (instruction.IP, instruction.ToString()))];
        for (int i = 0; i < after.Count; i++)
        {
            Instruction now = after[i];
            if (!reachable.Contains(now.IP) || unchanged.Contains((now.IP, now.ToString())))
            {
                continue;
            }

            Instruction old = before.Last(instruction => instruction.IP <= now.IP);
            string? danger = now.FlowControl == FlowControl.Next ? FindDataDanger(old, before.LastOrDefault(instruction => instruction.IP < old.IP), now, machine)
                : now.Code == Code.Retnq ? null // to the next guest code, wherever that is
                : now.Op0Kind == OpKind.NearBranch64 && (now.NearBranchTarget >= end || now.NearBranchTarget < first) && now.NearBranchTarget != old.NearBranchTarget
                    && !exits.Contains(now.NearBranchTarget) && !IsAlikeStub(machine, block.Key.User, old.NearBranchTarget, now.NearBranchTarget) ? "branch out of the block"
                : now.Op0Kind == OpKind.NearBranch64 && now.NearBranchTarget < end && now.NearBranchTarget >= first && !starts.Contains(now.NearBranchTarget) ? "branch into an instruction"
                : now.Op0Kind != OpKind.NearBranch64 && old.Code != now.Code ? "another branch" : null;
            if (danger == null && IsHostPage(now) && !IsLookup(after, i, before, machine))
            {
                danger = $"incomplete lookup {string.Join(", ", after.Skip(i - LookupSteps).Take(LookupSteps))}";
            }

            if (danger != null)
            {
                return $"{danger}: {old} -> {now}";
            }
        }

        return null;
    }

    // Stubs that do no more than the ones meant: for a larger access to the same kind of memory, for another string instruction of the
    // same mode, or for an indirect branch without emptying the pair stack before.
    private static bool IsAlikeStub(VerifiedMachine machine, bool user, ulong then, ulong now)
    {
        Stubs stubs = machine.Cpu.Stubs;
        int old = (int)(then - machine.Cpu.HostAddress(0));
        int changed = (int)(now - machine.Cpu.HostAddress(0));
        if (old == stubs.ReturnMiss)
        {
            return changed == stubs.Dispatch;
        }

        foreach (TlbArray array in user ? [TlbArray.UserRead, TlbArray.UserWrite] : (TlbArray[])[TlbArray.KernelRead, TlbArray.KernelWrite])
        {
            if (LogOf(array, old) is >= 0 and int size && LogOf(array, changed) >= size)
            {
                return true;
            }
        }

        int LogOf(TlbArray array, int offset)
        {
            int[] logs = [.. Enumerable.Range(0, 10)];
            return Array.FindIndex(logs, log => stubs.Access(array, 1 << log, group: false) == offset || stubs.Access(array, 1 << log, group: true) == offset);
        }

        int[] strings = [.. StringInstructions().Select(instruction => stubs.Repeated(instruction, user))];
        return strings.Contains(old) && strings.Contains(changed);
    }

    private static IEnumerable<Instruction> StringInstructions() =>
    [
        Instruction.CreateMovsb(64, repPrefix: RepPrefixKind.Repe), Instruction.CreateMovsw(64, repPrefix: RepPrefixKind.Repe),
        Instruction.CreateMovsd(64, repPrefix: RepPrefixKind.Repe), Instruction.CreateMovsq(64, repPrefix: RepPrefixKind.Repe),
        Instruction.CreateStosb(64, RepPrefixKind.Repe), Instruction.CreateStosw(64, RepPrefixKind.Repe),
        Instruction.CreateStosd(64, RepPrefixKind.Repe), Instruction.CreateStosq(64, RepPrefixKind.Repe),
    ];

    private static string? FindDataDanger(in Instruction old, in Instruction previous, in Instruction now, VerifiedMachine machine)
    {
        Instruction instruction = now;
        if (now.Mnemonic != Mnemonic.Cmp && Enumerable.Range(0, now.OpCount).Any(i => instruction.GetOpKind(i) == OpKind.Register && instruction.GetOpRegister(i).GetFullRegister() == Register.RSP))
        {
            return "use of rsp";
        }

        if (now.IsStackInstruction || now.IsPrivileged || now.IsStringInstruction)
        {
            return "forbidden instruction";
        }

        InstructionInfoFactory infos = new();
        UsedMemory[] used = [.. infos.GetInfo(now).GetUsedMemory()];
        if (used.Length == 0)
        {
            return null;
        }

        UsedMemory[] usedBefore = [.. infos.GetInfo(old).GetUsedMemory()];
        bool writes = used[0].Access is not (OpAccess.Read or OpAccess.CondRead);
        if (now.IsIPRelativeMemoryOperand)
        {
            // Fields that may be written and read freely, others as before.
            int offset = machine.Cpu.DataOffset(now.IPRelativeMemoryAddress);
            bool free = offset == Argument && now.Code == Code.Mov_rm32_imm32 || offset is >= 72 and < 96 or >= Engine + 64 and < Engine + 92 or >= Engine + 96 and < Engine + 104;
            bool same = old.IsIPRelativeMemoryOperand && machine.Cpu.DataOffset(old.IPRelativeMemoryAddress) == offset && old.MemorySize == now.MemorySize;
            bool isInput = offset is 152 or 160 or >= 176 and < 192 && !writes;
            bool isRip = offset is >= 128 and < 136 && writes && old.Mnemonic == Mnemonic.Mov;
            bool isTarget = offset == BranchTarget && now.Mnemonic == Mnemonic.Mov && (now.Op0Register == Register.R10 || now.Op1Register == Register.R10);
            bool isArray = old.Mnemonic == now.Mnemonic && offset is >= Engine + 768 and < Engine + 768 + (8 * TlbContext.ArrayCount) && !writes;

            // Host values in scratch registers do no harm by themselves.
            bool isUnused = offset is >= Engine + 136 and < Engine + 256 && !writes && now.Mnemonic == Mnemonic.Mov
                && now.Op0Register is Register.R10 or Register.R11 or Register.RCX or Register.R10D or Register.ECX;
            return free || same || isInput || isRip || isTarget || isArray || isUnused ? null : $"data region at {offset}";
        }

        if (usedBefore.Length == 0)
        {
            return IsWithin(previous, now, writes) ? null : "access where there was none";
        }

        bool wrote = usedBefore[0].Access is not (OpAccess.Read or OpAccess.CondRead);
        if (used[0].Base != usedBefore[0].Base || used[0].Index != usedBefore[0].Index || used[0].Segment is Register.FS or Register.GS)
        {
            return "other address";
        }

        // The stack window may be written, and its bounds depend on the flow.
        bool stack = used[0].Index == Register.R11 || used[0].Base is Register.RBP or Register.RSI or Register.RDI;
        if (!stack && ((writes && !wrote) || now.MemoryDisplacement64 != old.MemoryDisplacement64 || now.MemorySize.GetSize() > old.MemorySize.GetSize()))
        {
            return "wider or other access";
        }

        return stack && Math.Abs((long)now.MemoryDisplacement64) > 2048 ? "far off the stack" : null;
    }

    // What was accessed just before, or part of it, once more.
    private static bool IsWithin(in Instruction previous, in Instruction now, bool writes)
    {
        UsedMemory[] used = [.. new InstructionInfoFactory().GetInfo(previous).GetUsedMemory()];
        return used.Length > 0 && now.MemoryBase == Register.R10 && previous.MemoryBase == Register.R10 && now.MemoryIndex == Register.None && previous.MemoryIndex == Register.None
            && now.SegmentPrefix == Register.None && now.MemoryDisplacement64 == previous.MemoryDisplacement64 && now.MemorySize.GetSize() <= previous.MemorySize.GetSize()
            && (!writes || used[0].Access is not (OpAccess.Read or OpAccess.CondRead));
    }

    // add r10,[r11+8]
    private static bool IsHostPage(in Instruction instruction) => instruction is { Code: Code.Add_r64_rm64, Op0Register: Register.R10, MemoryBase: Register.R11, MemoryDisplacement64: 8 };

    // The seven instructions before it are as they were, but that the bound may be smaller.
    private static bool IsLookup(List<Instruction> after, int index, List<Instruction> before, VerifiedMachine machine)
    {
        int old = before.FindIndex(instruction => instruction.IP == after[index].IP);
        if (old < LookupSteps - 1 || index < LookupSteps - 1 || !IsHostPage(before[old]))
        {
            return false;
        }

        for (int step = 1; step < LookupSteps; step++)
        {
            Instruction then = before[old - step];
            Instruction now = after[index - step];
            bool smaller = then.Mnemonic == Mnemonic.Cmp && now.Mnemonic == Mnemonic.Cmp && now.Op0Register == then.Op0Register && now.GetImmediate(1) <= then.GetImmediate(1);

            // Only the out-of-line code that is branched to may differ, and the array of a lookup for reading.
            bool branch = then.FlowControl == FlowControl.ConditionalBranch && now.ConditionCode == then.ConditionCode;
            bool array = then.Mnemonic == Mnemonic.Add && now.Mnemonic == Mnemonic.Add && now.IsIPRelativeMemoryOperand
                && IsAlikeArray(machine.Cpu.DataOffset(then.IPRelativeMemoryAddress), machine.Cpu.DataOffset(now.IPRelativeMemoryAddress));
            if (!smaller && !branch && !array && now.ToString() != then.ToString())
            {
                return false;
            }
        }

        return true;
    }

    // Banks of one kind, or of the kind for writing instead of the one for reading.
    private static bool IsAlikeArray(int then, int now)
    {
        int kind = (then - Engine - 768) / 8 / TlbContext.Banks;
        int newKind = (now - Engine - 768) / 8 / TlbContext.Banks;
        return newKind == kind || (newKind == kind + 1 && (kind & 1) == 0);
    }

    private static HashSet<ulong> Reach(List<Instruction> instructions, ulong[] from)
    {
        Dictionary<ulong, Instruction> at = instructions.ToDictionary(instruction => instruction.IP);
        HashSet<ulong> reached = [];
        Stack<ulong> open = new(from);
        while (open.TryPop(out ulong address))
        {
            if (!at.TryGetValue(address, out Instruction instruction) || !reached.Add(address))
            {
                continue;
            }

            if (instruction.Op0Kind == OpKind.NearBranch64 && instruction.FlowControl != FlowControl.Next)
            {
                open.Push(instruction.NearBranchTarget);
            }

            if (instruction.FlowControl is not (FlowControl.UnconditionalBranch or FlowControl.Return))
            {
                open.Push(instruction.NextIP);
            }
        }

        return reached;
    }
}
