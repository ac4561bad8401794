using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>An instruction of an emitted block.</summary>
internal sealed class HostInstruction
{
    public required int Index { get; init; }

    /// <summary>From the block's first byte.</summary>
    public required int Offset { get; init; }

    public required Instruction Instruction { get; init; }

    /// <summary>One of the eight instructions of a TLB lookup.</summary>
    public bool IsLookupStep { get; set; }

    /// <summary>One of the four instructions of a check of the stack window.</summary>
    public bool IsStackCheckStep { get; set; }

    public bool IsReachable { get; set; }

    public bool HasMemory => Enumerable.Range(0, Instruction.OpCount).Any(i => Instruction.GetOpKind(i) == OpKind.Memory);

    /// <summary>Accesses guest memory through T0 or the stack window.</summary>
    public bool IsGuestAccess => HasMemory && !IsLookupStep && Instruction.Mnemonic != Mnemonic.Lea
        && (Instruction.MemoryBase == Register.R10 || (Instruction.MemoryBase == Register.R9 && Instruction.MemoryIndex == Register.R11));
}

/// <summary>Breaks the bytes of one block and asks the verifier.</summary>
internal sealed class Mutator
{
    private readonly VerifiedMachine _machine;
    private readonly Block _block;
    private readonly byte[] _bytes;
    private readonly List<HostInstruction> _all = [];
    private readonly Dictionary<int, HostInstruction> _at = [];

    public Mutator(VerifiedMachine machine, Block block)
    {
        _machine = machine;
        _block = block;
        _bytes = machine.Cpu.HostBytes(block).ToArray();
        Decoder decoder = Decoder.Create(64, _bytes);
        decoder.IP = machine.Cpu.HostAddress(block.HostStart);
        for (int offset = 0; offset < _bytes.Length;)
        {
            decoder.Decode(out Instruction instruction);
            HostInstruction host = new() { Index = _all.Count, Offset = offset, Instruction = instruction };
            _all.Add(host);
            _at.Add(offset, host);
            offset += instruction.Length;
        }

        FindSequences();
        Reach(block.CheckedEntry - block.HostStart);
        Reach(block.IndirectEntry - block.HostStart);
        Reach(block.Entry - block.HostStart);
        foreach (HostInstruction host in _all.Where(h => h.IsReachable).ToList())
        {
            // What crosses pages goes on behind the jump that follows the call.
            if (host.Index + 2 < _all.Count && host.Instruction.Code == Code.Call_rel32_64 && (IsAccessStub(TargetOf(host)) || IsStackStub(TargetOf(host))))
            {
                Reach(_all[host.Index + 2].Offset);
            }
        }
    }

    public delegate void Change(ref Instruction instruction);

    public int Tried { get; private set; }

    /// <summary>Mutations that the verifier accepted.</summary>
    public List<string> Missed { get; } = [];

    public IReadOnlyList<HostInstruction> All => _all;

    public IEnumerable<HostInstruction> Reachable => _all.Where(host => host.IsReachable);

    public HostInstruction Next(HostInstruction host) => _all[host.Index + 1];

    /// <summary>Offset in the data region of a rip-relative operand.</summary>
    public int DataOffset(HostInstruction host) => host.Instruction.IsIPRelativeMemoryOperand ? _machine.Cpu.DataOffset(host.Instruction.IPRelativeMemoryAddress) : int.MinValue;

    /// <summary>Target of a branch, as an offset in the code region.</summary>
    public int TargetOf(HostInstruction host) => (int)(host.Instruction.NearBranchTarget - _machine.Cpu.HostAddress(0));

    public HostInstruction LastBefore(HostInstruction host, Func<HostInstruction, bool> condition) => _all.Take(host.Index).Last(condition);

    /// <summary>Places no branch of the block may lead to.</summary>
    public IEnumerable<int> ForbiddenTargets(HostInstruction from)
    {
        Stubs stubs = _machine.Cpu.Stubs;
        yield return stubs.Enter;
        yield return stubs.Exit;
        yield return stubs.FpuSave;
        yield return stubs.FpuRestore;
        yield return stubs.Dispatch + 1;
        yield return stubs.ReturnMiss + 3;
        yield return stubs.Callback(CallbackKind.Access) + 7;
        yield return stubs.Callback(CallbackKind.Fault);
        yield return -4096;
        yield return 0x3FFFFFFF;
        yield return _block.HostEnd;
        yield return _block.HostStart - 1;
        foreach (HostInstruction host in _all.Where(h => h.Instruction.Length > 1 && (h.Index + from.Index) % 7 == 0))
        {
            yield return _block.HostStart + host.Offset + 1;
            yield return _block.HostStart + host.Offset + host.Instruction.Length - 1;
        }

        Block? other = _machine.Cpu.Cache.Blocks.FirstOrDefault(block => block != _block);
        if (other != null)
        {
            yield return other.Entry;
            yield return other.CheckedEntry;
        }
    }

    /// <summary>Number of an access site that belongs to another block, or -1.</summary>
    public int SiteOfOtherBlock()
    {
        RecordList<AccessSite> sites = _machine.Cpu.Cache.Of(_block.Key.User).Sites;
        int number = sites.TakeWhile(site => site.Owner == _block).Count();
        return number < sites.Count ? number : -1;
    }

    /// <summary>Whether the next instruction calls a stub that takes the number of an access site.</summary>
    public bool CallsForSite(HostInstruction argument)
    {
        HostInstruction next = Next(argument);
        if (next.Instruction is { Code: Code.Mov_r32_imm32, Op0Register: Register.R11D })
        {
            next = Next(next);
        }

        Stubs stubs = _machine.Cpu.Stubs;
        return next.Instruction.Code == Code.Call_rel32_64 && TargetOf(next) is int target
            && (IsAccessStub(target) || IsStackStub(target) || target == stubs.Callback(CallbackKind.Bounce));
    }

    /// <summary>Whether the next instruction leaves for a system call, which takes no argument.</summary>
    public bool LeavesForSystemCall(HostInstruction argument) => TargetOf(Next(argument)) == _machine.Cpu.Stubs.Callback(CallbackKind.Syscall);

    /// <summary>For a call of a stub that serves TLB misses: those for other arrays, or for smaller operands.</summary>
    public IEnumerable<int> WrongAccessStubs(HostInstruction call)
    {
        Stubs stubs = _machine.Cpu.Stubs;
        List<(TlbArray Array, int Size, int Offset)> all = [];
        foreach (TlbArray array in Enum.GetValues<TlbArray>())
        {
            for (int size = 1; size <= 32; size *= 2)
            {
                all.Add((array, size, stubs.Access(array, size, group: false)));
            }
        }

        int target = TargetOf(call);
        int right = all.FindIndex(stub => stub.Offset == target);
        return right < 0 ? [] : all.Where(stub => stub.Array != all[right].Array || stub.Size < all[right].Size).Select(stub => stub.Offset);
    }

    /// <summary>Changes the bytes of one instruction in place.</summary>
    public void Try(HostInstruction host, Action<byte[]> change, string what)
    {
        byte[] part = _bytes.AsSpan(host.Offset, host.Instruction.Length).ToArray();
        change(part);
        TryBytes(host, part, what);
    }

    /// <summary>Encodes a changed instruction anew; left out if its length differs.</summary>
    public void TryReencoded(HostInstruction host, Change change, string what)
    {
        Instruction changed = host.Instruction;
        change(ref changed);
        Output output = new();
        Encoder encoder = Encoder.Create(64, output);
        if (encoder.TryEncode(changed, host.Instruction.IP, out uint length, out _) && length == host.Instruction.Length)
        {
            TryBytes(host, output.Bytes.ToArray(), what);
        }
    }

    private bool IsAccessStub(int offset)
    {
        Stubs stubs = _machine.Cpu.Stubs;
        return offset == stubs.Callback(CallbackKind.Access)
            || Enum.GetValues<TlbArray>().Any(array => Enumerable.Range(0, 6).Any(log => stubs.Access(array, 1 << log, group: false) == offset || stubs.Access(array, 1 << log, group: true) == offset));
    }

    private bool IsStackStub(int offset) => offset == _machine.Cpu.Stubs.StackWindow(user: false) || offset == _machine.Cpu.Stubs.StackWindow(user: true);

    /// <summary>Instructions that give a stub the bound for offsets in the stack window.</summary>
    public IEnumerable<HostInstruction> StackBounds => Reachable.Where(host =>
        host.Instruction is { Code: Code.Mov_r32_imm32, Op0Register: Register.R11D } && Next(host).Instruction.Code == Code.Call_rel32_64 && IsStackStub(TargetOf(Next(host))));

    private void TryBytes(HostInstruction host, byte[] part, string what)
    {
        byte[] bytes = (byte[])_bytes.Clone();
        part.CopyTo(bytes, host.Offset);
        if (bytes.AsSpan().SequenceEqual(_bytes))
        {
            return;
        }

        Tried++;
        if (_machine.Accepts(_block, bytes))
        {
            Missed.Add($"{what} at +{host.Offset:x} {host.Instruction} of {_block.Key.Variant} {(_block.Key.User ? "user" : "kernel")} [{_machine.GuestCode(_block)}]");
        }
    }

    private void FindSequences()
    {
        for (int i = 0; i + 7 < _all.Count; i++)
        {
            bool lookup = _all[i].Instruction is { Op0Register: Register.R11D, Op1Register: Register.R10D, Code: Code.Mov_r32_rm32 }
                && _all[i + 1].Instruction is { Op0Register: Register.R11D, Code: Code.Shr_rm32_imm8 }
                && _all[i + 2].Instruction is { Op0Register: Register.R11D, Code: Code.And_rm32_imm32 }
                && _all[i + 4].Instruction is { Op0Register: Register.R10, MemoryBase: Register.R11, Code: Code.Sub_r64_rm64 };
            for (int j = i; lookup && j < i + 8; j++)
            {
                _all[j].IsLookupStep = true;
            }

            bool stack = _all[i].Instruction is { Op0Register: Register.R10, MemoryBase: Register.R9, Code: Code.Lea_r64_m }
                && _all[i + 1].Instruction is { Op0Register: Register.R10, IsIPRelativeMemoryOperand: true, Code: Code.Add_r64_rm64 };
            for (int j = i; stack && j < i + 4; j++)
            {
                _all[j].IsStackCheckStep = true;
            }
        }
    }

    private void Reach(int offset)
    {
        while (_at.TryGetValue(offset, out HostInstruction? host) && !host.IsReachable)
        {
            host.IsReachable = true;
            FlowControl flow = host.Instruction.FlowControl;
            if (flow is FlowControl.ConditionalBranch or FlowControl.UnconditionalBranch or FlowControl.Call)
            {
                Reach(TargetOf(host) - _block.HostStart);
            }

            if (flow is FlowControl.UnconditionalBranch or FlowControl.Return)
            {
                return;
            }

            offset += host.Instruction.Length;
        }
    }

    private sealed class Output : CodeWriter
    {
        public List<byte> Bytes { get; } = [];

        public override void WriteByte(byte value) => Bytes.Add(value);
    }
}
