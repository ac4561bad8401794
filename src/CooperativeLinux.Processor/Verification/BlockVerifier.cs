using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

/// <summary>
/// Proves of an emitted block, from its host bytes alone, that it stays in the sandbox: it accesses guest memory that was checked
/// for the block's mode and the fields of the data region it needs, nothing else, and it leaves only to stubs and other blocks.
/// </summary>
/// <remarks>
/// Shares no code with the emitter. The block is decoded from end to end and executed abstractly: for each instruction
/// the verifier knows what the scratch registers T0 (r10) and T1 (r11) hold and which part of the stack window was checked. States
/// are joined where paths meet, until nothing changes. What no pattern allows is a violation:
/// <list type="bullet">
/// <item><c>StateFields</c>: fields of the data region and their use;</item>
/// <item><c>InstructionRules</c>: instructions that may be copied;</item>
/// <item><c>BlockVerifier.Patterns.cs</c>: sequences that compute and check host addresses;</item>
/// <item><c>BlockVerifier.Operands.cs</c>: memory operands;</item>
/// <item><c>BlockVerifier.Control.cs</c>: branches, stubs, links.</item>
/// </list>
/// Relied upon, not proved: the stubs, the callbacks' contracts (see <see cref="CallStub"/>), and that TLB entries and stack windows
/// only name guest pages with the rights of their array, or the inaccessible page.
/// </remarks>
internal sealed unsafe partial class BlockVerifier
{
    private const int MaxViolations = 16;
    private const int MaxVisits = 64;
    private const int NotAnInstruction = -1;
    private const int NoExit = -1;

    private readonly byte* _code;
    private readonly int _codeSize;
    private readonly byte* _data;
    private readonly StateFields _fields;
    private readonly Stubs _stubs;
    private readonly Dictionary<int, AccessStub> _accessStubs;
    private readonly HashSet<int>[] _stringStubs;
    private readonly CodeCache _cache;
    private readonly InstructionRules _rules = new();
    private readonly InstructionInfoFactory _infos = new();
    private readonly HostCodeReader _reader = new();
    private readonly Decoder _decoder;
    private readonly Stack<(int Index, AbstractState State)> _pending = new();
    private readonly List<int> _deferred = [];
    private readonly Stack<int> _path = new();

    private HostInstruction[] _instructions = new HostInstruction[512];
    private short[] _indexAt = new short[4096];
    private int _count;

    // The block in hand.
    private Block _block = null!;
    private CodeRegion _region = null!;
    private uint _pageId;
    private List<Violation> _violations = null!;

    /// <param name="code">The code region, where it is executed.</param>
    /// <param name="codeSize">Its size in bytes.</param>
    /// <param name="data">The data region.</param>
    /// <param name="fields">What blocks may name in the data region.</param>
    /// <param name="stubs">Where the stubs are.</param>
    /// <param name="cache">Sites, exits and instructions that blocks refer to.</param>
    public BlockVerifier(byte* code, int codeSize, byte* data, StateFields fields, Stubs stubs, CodeCache cache)
    {
        _code = code;
        _codeSize = codeSize;
        _data = data;
        _fields = fields;
        _stubs = stubs;
        _accessStubs = FindAccessStubs(stubs);
        _stringStubs = [FindStringStubs(stubs, user: false), FindStringStubs(stubs, user: true)];
        _cache = cache;
        _decoder = Decoder.Create(64, _reader);
    }

    private bool IsUser => _block.Key.User;

    /// <summary>Verifies a block as it lies in the code region.</summary>
    /// <param name="block">A block that was not dropped.</param>
    /// <param name="pageId">Id of the block's (page, frame) pair; user mode only.</param>
    /// <param name="violations">Gets what cannot be proved.</param>
    /// <returns>Whether there is no violation.</returns>
    public bool Verify(Block block, uint pageId, List<Violation> violations)
    {
        if (block.HostStart < _stubs.End || block.HostEnd > _codeSize || block.HostEnd <= block.HostStart)
        {
            violations.Add(new Violation(block.HostStart, string.Empty, "the block does not lie in the code region"));
            return false;
        }

        return Verify(block, pageId, new ReadOnlySpan<byte>(_code + block.HostStart, block.HostEnd - block.HostStart), violations);
    }

    /// <summary>Verifies other bytes in place of the block's own.</summary>
    public bool Verify(Block block, uint pageId, ReadOnlySpan<byte> bytes, List<Violation> violations)
    {
        _block = block;
        _region = _cache.Of(block.Key.User);
        _pageId = pageId;
        _violations = violations;
        int before = violations.Count;
        fixed (byte* first = bytes)
        {
            if (Decode(first, bytes.Length) && MarkLabels())
            {
                Walk();
                CheckLandings();
                CheckLoops();
            }
        }

        return violations.Count == before;
    }

    private bool Decode(byte* bytes, int length)
    {
        if (_indexAt.Length < length + 1)
        {
            _indexAt = new short[length * 2];
        }

        _indexAt.AsSpan(0, length + 1).Fill(NotAnInstruction);
        _reader.Set(bytes, length);
        _decoder.IP = (ulong)(_code + _block.HostStart);
        _count = 0;
        for (int offset = 0; offset < length; _count++)
        {
            if (_count == _instructions.Length)
            {
                Array.Resize(ref _instructions, _count * 2);
            }

            ref HostInstruction host = ref _instructions[_count];
            host.IsLabel = false;
            host.Exit = NoExit;
            _decoder.Decode(out host.Instruction);
            if (host.Instruction.IsInvalid)
            {
                string reason = _decoder.LastError == DecoderError.NoMoreBytes ? "instruction crosses the block's end" : "no instruction";
                _violations.Add(new Violation(_block.HostStart + offset, string.Empty, reason));
                return false;
            }

            _indexAt[offset] = (short)_count;
            offset += host.Instruction.Length;
        }

        return true;
    }

    // Where paths may meet. Only there are states kept.
    private bool MarkLabels()
    {
        if (!MarkLabel(_block.Entry, "the entry") || !MarkLabel(_block.IndirectEntry, "the indirect entry") || !MarkLabel(_block.CheckedEntry, "the checked entry"))
        {
            return false;
        }

        for (int i = 0; i < _count; i++)
        {
            ref Instruction instruction = ref _instructions[i].Instruction;
            if (instruction.FlowControl != FlowControl.Next && instruction.OpCount > 0 && instruction.Op0Kind == OpKind.NearBranch64
                && TryIndexOf(OffsetOf(instruction.NearBranchTarget), out int target))
            {
                MarkLabel(target);
            }
        }

        return MarkExits();
    }

    private bool MarkLabel(int offset, string what)
    {
        if (!TryIndexOf(offset, out int index))
        {
            _violations.Add(new Violation(offset, string.Empty, $"{what} is not at an instruction"));
            return false;
        }

        MarkLabel(index);
        return true;
    }

    private void MarkLabel(int index)
    {
        ref HostInstruction host = ref _instructions[index];
        host.IsLabel = true;
        host.IsReached = false;
        host.IsDeferred = false;
        host.Visits = 0;
        host.Mark = LabelMark.New;
    }

    // Out-of-line code is walked as soon as a branch to it is met, and what it jumps back to is left to the main line. So a
    // regular block takes one pass.
    private void Walk()
    {
        _pending.Clear();
        _deferred.Clear();
        Defer(IndexOf(_block.Entry), AbstractState.Entry(admitted: true));
        Defer(IndexOf(_block.IndirectEntry), AbstractState.Entry(admitted: false));
        if (IsUser)
        {
            Defer(IndexOf(_block.CheckedEntry), AbstractState.Entry(admitted: false));
        }

        while (_deferred.Count > 0)
        {
            int index = _deferred.Min();
            _deferred.Remove(index);
            ref HostInstruction host = ref _instructions[index];
            if (host.IsDeferred)
            {
                WalkFrom(index, host.State);
            }
        }
    }

    private void WalkFrom(int start, in AbstractState initial)
    {
        _pending.Push((start, initial));
        while (_pending.TryPop(out (int Index, AbstractState State) next))
        {
            AbstractState state = next.State;
            for (int index = next.Index; index != NotAnInstruction;)
            {
                if (_violations.Count >= MaxViolations)
                {
                    return;
                }

                ref HostInstruction host = ref _instructions[index];
                if (host.IsLabel && !Arrive(index, ref state))
                {
                    break;
                }

                index = Step(index, ref state);
                if (index == _count)
                {
                    Fail(_count - 1, "execution runs over the block's end");
                    break;
                }
            }
        }
    }

    // At a label: joins the state with what is known there. False: nothing new, or nothing can be proved.
    private bool Arrive(int index, ref AbstractState state)
    {
        ref HostInstruction host = ref _instructions[index];
        if (state.Parked != 0)
        {
            return Fail(index, "a register is parked where paths may meet");
        }

        if (!host.IsReached)
        {
            host.IsReached = true;
            host.State = state;
            host.IsDeferred = false;
            return true;
        }

        bool changed = host.State.Join(state) | host.IsDeferred;
        host.IsDeferred = false;
        state = host.State;
        if (changed && ++host.Visits > MaxVisits)
        {
            return Fail(index, "no stable state is found");
        }

        return changed;
    }

    // The same, but the walk goes on from there later.
    private void Defer(int index, AbstractState state)
    {
        if (Arrive(index, ref state))
        {
            _instructions[index].IsDeferred = true;
            if (!_deferred.Contains(index))
            {
                _deferred.Add(index);
            }
        }
    }

    // Index of the next instruction on this path, or NotAnInstruction.
    private int Step(int index, ref AbstractState state)
    {
        ref Instruction instruction = ref _instructions[index].Instruction;
        if (instruction.FlowControl != FlowControl.Next)
        {
            return StepControl(index, instruction, ref state);
        }

        bool keepsRax = IsField(instruction, FieldUse.KeptRax, out _) || IsRaxBack(instruction, state);
        bool proved = TryPattern(index, instruction, ref state) || StepGeneral(index, instruction, ref state);
        if (!keepsRax)
        {
            LoseBases(instruction, ref state);
        }

        state.SettleRax();

        return proved ? index + 1 : NotAnInstruction;
    }

    // Registers that the instruction names or implies, and may write, are no bases any more.
    private void LoseBases(in Instruction instruction, ref AbstractState state)
    {
        foreach (UsedRegister used in _infos.GetInfo(instruction, InstructionInfoOptions.NoMemoryUsage).GetUsedRegisters())
        {
            if (used.Access is not (OpAccess.Read or OpAccess.CondRead or OpAccess.None) && VerifiedRegisters.Number(used.Register) is < 16 and byte number)
            {
                state.LoseBase(number);
            }
        }
    }

    // Any allowed instruction on guest data.
    private bool StepGeneral(int index, in Instruction instruction, ref AbstractState state)
    {
        ref readonly InstructionRule rule = ref _rules[instruction];
        if (rule.Denial != null)
        {
            return Fail(index, rule.Denial);
        }

        for (int i = 0; i < instruction.OpCount; i++)
        {
            switch (instruction.GetOpKind(i))
            {
                case OpKind.Register:
                    Register register = instruction.GetOpRegister(i);
                    bool keepsPart = (rule.Reads & (1 << i)) != 0 || VerifiedRegisters.Size(register) < 4;
                    if (!CanUse(index, VerifiedRegisters.Number(register), keepsPart, state))
                    {
                        return false;
                    }

                    break;
                case OpKind.Memory:
                    if (!IsConfined(index, instruction, rule, (rule.Writes & (1 << i)) != 0, state))
                    {
                        return false;
                    }

                    break;
            }
        }

        if (rule.ImpliesRcx)
        {
            if (!CanUse(index, VerifiedRegisters.Rcx, read: true, state))
            {
                return false;
            }

            state.Rcx = Value.Guest;
        }

        for (int i = 0; i < instruction.OpCount; i++)
        {
            if ((rule.Writes & (1 << i)) != 0 && instruction.GetOpKind(i) == OpKind.Register)
            {
                Overwrite(VerifiedRegisters.Number(instruction.GetOpRegister(i)), ref state);
            }
        }

        if (rule.WritesFlags)
        {
            state.Flags = FlagFact.None;
        }

        return true;
    }

    // Whether a register may be an operand: never the host's stack pointer, and a host address only to be overwritten.
    private bool CanUse(int index, byte register, bool read, in AbstractState state)
    {
        if (register == VerifiedRegisters.Rsp)
        {
            return Fail(index, "use of the host's stack pointer");
        }

        bool isHost = (register == VerifiedRegisters.T0 && state.T0.IsHost) || (register == VerifiedRegisters.T1 && state.T1.IsHost)
            || (register == VerifiedRegisters.Rcx && state.Rcx.IsHost) || (register == state.Parked && register != 0);
        return !isHost || !read || Fail(index, $"host address in r{register} used as data");
    }

    private static void Overwrite(byte register, ref AbstractState state)
    {
        switch (register)
        {
            case VerifiedRegisters.Rcx:
                state.Rcx = Value.Guest;
                break;
            case VerifiedRegisters.GuestRsp:
                state.LoseStack();
                break;
            case VerifiedRegisters.T0:
                state.SetT0(Value.Guest);
                break;
            case VerifiedRegisters.T1:
                state.SetT1(Value.Guest);
                break;
            default:
                if (register == state.Parked)
                {
                    state.Parked = 0;
                }

                break;
        }
    }

    private int OffsetOf(ulong address) => (int)Math.Clamp((long)address - (long)_code, int.MinValue, int.MaxValue);

    private int OffsetAt(int index) => OffsetOf(_instructions[index].Instruction.IP);

    private int IndexOf(int offset) => TryIndexOf(offset, out int index) ? index : NotAnInstruction;

    // Index of the instruction that begins at an offset of the code region.
    private bool TryIndexOf(int offset, out int index)
    {
        index = offset >= _block.HostStart && offset < _block.HostEnd ? _indexAt[offset - _block.HostStart] : NotAnInstruction;
        return index != NotAnInstruction;
    }

    private bool Fail(int index, string reason)
    {
        Violation violation = new(OffsetAt(index), _instructions[index].Instruction.ToString(), reason);
        if (!_violations.Contains(violation))
        {
            _violations.Add(violation);
        }

        return false;
    }

    private int FailPath(int index, string reason)
    {
        Fail(index, reason);
        return NotAnInstruction;
    }

    private enum LabelMark : byte
    {
        New,
        Open,
        Closed,
    }

    /// <summary>A decoded instruction, and for labels what is known there.</summary>
    private struct HostInstruction
    {
        public Instruction Instruction;

        /// <summary>Number of the exit whose branch this is.</summary>
        public int Exit;
        public bool IsLabel;
        public bool IsReached;
        public bool IsDeferred;
        public LabelMark Mark;
        public int Visits;
        public AbstractState State;
    }

    /// <summary>Feeds the decoder.</summary>
    private sealed class HostCodeReader : CodeReader
    {
        private byte* _next;
        private byte* _end;

        public void Set(byte* bytes, int length)
        {
            _next = bytes;
            _end = bytes + length;
        }

        public override int ReadByte() => _next < _end ? *_next++ : -1;
    }
}
