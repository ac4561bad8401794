using CooperativeLinux.Processor.Analysis;
using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Emission;

/// <summary>
/// Emits host code for a block. Register plan: guest registers live in the host registers of the same name, but guest rsp in r9, and guest
/// r9, r10, r11 in memory; host r10 and r11 (T0, T1) are scratch; host rsp is always the host's. Guest flags live in the
/// host's flags, or, around address translations that clobber them, in memory ("parked").
/// </summary>
internal sealed unsafe partial class BlockEmitter
{
    /// <summary>Most host bytes one block may take; a block is only begun when that much is free.</summary>
    public const int MaxBlockBytes = 64 * 1024;

    private readonly Assembler _asm;
    private readonly Stubs _stubs;
    private readonly CodeCache _cache;
    private readonly Encoder _encoder;
    private readonly EmissionBuffer _encoded = new();
    private readonly InstructionInfoFactory _infos = new();
    private readonly StackGroups _groups = new();
    private readonly FlagLookahead _lookahead;
    private readonly List<ColdPath> _cold = [];
    private readonly List<BouncedOperation> _bounced = [];
    private readonly OperandAccess[] _access = new OperandAccess[Enum.GetValues<Code>().Length];

    private Block _block = null!;
    private bool _flagsParked;
    private bool _stackDeltaInT1;
    private byte* _guestBytes;
    private byte* _guestBytesSecond;
    private int _guestBytesFirstLength;

    public BlockEmitter(Assembler assembler, Stubs stubs, CodeCache cache, InstructionPolicy policy)
    {
        _lookahead = new FlagLookahead(policy);
        _asm = assembler;
        _stubs = stubs;
        _cache = cache;
        _encoder = Encoder.Create(64, _encoded);
    }

    private enum ColdKind
    {
        Access,
        StackWindow,
        Link,
        Branch,
        Poll,
        PageCheck,
    }

    private bool IsUser => _block.Key.User;

    private bool IsCareful => _block.Key.Variant == BlockVariant.Careful;

    /// <summary>Emits decoded instructions as a block and registers it in the cache.</summary>
    /// <param name="pageId">Id of the (page, frame) pair for the checked entry; user mode only.</param>
    public Block Emit(in BlockKey key, BlockDecoder decoder, byte* bytes, int firstLength, byte* secondBytes, ulong secondFrame, uint pageId)
    {
        Span<DecodedInstruction> instructions = decoder.Instructions.AsSpan(0, decoder.Count);
        _lookahead.Begin(bytes - (key.Virtual & 0xFFF), key.Virtual & ~0xFFFUL);
        FlagLiveness.Analyse(instructions, _lookahead);
        _groups.Clear();
        if (key.Variant == BlockVariant.Normal)
        {
            _groups.Analyse(instructions);
        }

        _block = new Block
        {
            Key = key,
            GuestLength = decoder.Length,
            SecondFrame = secondFrame,
            FirstExit = _cache.Exits.Count,
            FirstFaultPoint = _cache.FaultPoints.Count,
        };
        _cold.Clear();
        _bounced.Clear();
        _flagsParked = false;
        _stackDeltaInT1 = false;
        _guestBytes = bytes;
        _guestBytesFirstLength = firstLength;
        _guestBytesSecond = secondBytes;

        EmitHead(instructions[0].LiveFlags != 0, instructions[^1].Handling == Handling.Call, pageId);
        for (int i = 0; i < instructions.Length; i++)
        {
            EmitInstruction(ref instructions[i], i);
        }

        if (!BlockDecoder.EndsBlock(instructions[^1].Handling))
        {
            EmitExit(key.Virtual + (ulong)decoder.Length, -1);
        }

        EmitColdPaths();
        _block.HostEnd = _asm.Position;
        _block.Lookahead = _lookahead.Ranges.Count == 0 ? null : [.. _lookahead.Ranges];
        _block.ExitCount = _cache.Exits.Count - _block.FirstExit;
        _block.FaultPointCount = _cache.FaultPoints.Count - _block.FirstFaultPoint;
        _cache.Add(_block);
        return _block;
    }

    // checked entry (user mode):  cmp dword [PageSlots+slot], id ; jne cold ; jmp entry
    // indirect entry:             mov t1, address ; cmp t1, [BranchTarget] ; jne miss
    // entry:                      cmp rsp, [Limit] ; jb cold
    // Where flags are live the same is done with lea and jrcxz, whose short jumps go to trampolines in front.
    private void EmitHead(bool flagsLive, bool calls, uint pageId)
    {
        int pageSlot = TlbContext.PageSlot(pageId);
        _block.HostStart = _asm.Position;
        if (!flagsLive)
        {
            int toEntry = -1;
            _block.CheckedEntry = _asm.Position;
            if (IsUser)
            {
                _asm.LoadState(Gpr.T1, StateLayout.PageSlots);
                _asm.Memory(0x81, (int)Alu.Cmp, Gpr.T1, -1, 1, pageSlot * 4, wide: false);
                _asm.Int32((int)pageId);
                AddCold(ColdKind.PageCheck, _asm.JumpIf(Condition.NotEqual, 0));
                toEntry = _asm.Jump(0);
            }

            _block.IndirectEntry = _asm.Position;
            _asm.MoveImmediate(Gpr.T1, _block.Key.Virtual);
            _asm.AluState(Alu.Cmp, Gpr.T1, StateLayout.BranchTarget);
            _asm.JumpIf(Condition.NotEqual, _stubs.BranchMiss);
            _block.Entry = _asm.Position;
            if (toEntry >= 0)
            {
                _asm.PatchRelative(toEntry, _asm.Position);
            }

            _asm.AluState(Alu.Cmp, Gpr.Rsp, StateLayout.Limit);
            AddCold(ColdKind.Poll, _asm.JumpIf(Condition.Below, 0));
        }
        else
        {
            int trampoline = _asm.Position;
            _asm.MoveRegister(Gpr.Rcx, Gpr.T1);
            AddCold(ColdKind.Poll, _asm.Jump(0));
            int toEntry = -1;
            _block.CheckedEntry = _asm.Position;
            if (IsUser)
            {
                _asm.MoveRegister(Gpr.T1, Gpr.Rcx);
                _asm.LoadState(Gpr.Rcx, StateLayout.PageSlots);
                _asm.Memory(0x8B, Gpr.Rcx, Gpr.Rcx, -1, 1, pageSlot * 4, wide: false);
                _asm.Memory(0x8D, Gpr.Rcx, Gpr.Rcx, -1, 1, -(int)pageId, wide: false);
                int same = ShortJumpIfCounterZero(narrow: false);
                _asm.MoveRegister(Gpr.Rcx, Gpr.T1);
                AddCold(ColdKind.PageCheck, _asm.Jump(0));
                PatchShort(same);
                _asm.MoveRegister(Gpr.Rcx, Gpr.T1);
                toEntry = _asm.Jump(0);
            }

            _block.IndirectEntry = _asm.Position;
            _asm.LoadState(Gpr.T0, StateLayout.BranchTarget);
            EmitCompareTarget(_block.Key.Virtual, _stubs.BranchMiss);
            _block.Entry = _asm.Position;
            if (toEntry >= 0)
            {
                _asm.PatchRelative(toEntry, _asm.Position);
            }

            _asm.MoveRegister(Gpr.T1, Gpr.Rcx);
            _asm.State(0x8B, Gpr.Rcx, StateLayout.PollClear, wide: false);
            ShortJumpBack(trampoline);
            if (calls)
            {
                // The pair stack is one aligned unit, and at most one call is made before the next look: is rsp in the unit below?
                _asm.Bytes([0xC4, 0xE3, 0xFB, 0xF0, 0xCC, Stubs.PairStackBits]); // rorx rcx,rsp,18
                _asm.Bytes([0x0F, 0xB7, 0xC9]); // movzx ecx,cx
                _asm.State(0x8B, Gpr.T0, StateLayout.DepthTag, wide: false);
                _asm.Memory(0x8D, Gpr.Rcx, Gpr.Rcx, Gpr.T0, 1, 0, wide: false);
                ShortJumpBack(trampoline);
            }

            _asm.MoveRegister(Gpr.Rcx, Gpr.T1);
        }
    }

    private void ShortJumpBack(int target)
    {
        _asm.Byte(0xE3);
        _asm.Byte(target - (_asm.Position + 1));
    }

    private void EmitInstruction(ref DecodedInstruction decoded, int index)
    {
        if (decoded.LiveFlags == 0)
        {
            _flagsParked = false;
        }

        if (decoded.StackGroup >= 0 && _groups[decoded.StackGroup].FirstInstruction == index)
        {
            EmitStackCheck(decoded, _groups[decoded.StackGroup]);
        }

        switch (decoded.Handling)
        {
            case Handling.Copy:
                EmitCopy(ref decoded);
                break;
            case Handling.BitString:
                if (decoded.Instruction.Op0Kind == OpKind.Memory)
                {
                    EmitBitString(ref decoded);
                }
                else
                {
                    EmitCopy(ref decoded);
                }

                break;
            case Handling.Nothing:
                break;
            case Handling.Lea:
                EmitLea(decoded.Instruction);
                break;
            case Handling.Push:
                EmitPush(ref decoded);
                break;
            case Handling.Pop:
                EmitPop(ref decoded);
                break;
            case Handling.Leave:
                EmitLeave(ref decoded);
                break;
            case Handling.Translate:
                EmitTranslate(ref decoded);
                break;
            case Handling.Call:
                EmitCall(ref decoded);
                break;
            case Handling.Return:
                EmitReturn(ref decoded);
                break;
            case Handling.Jump:
                EmitJump(ref decoded);
                break;
            case Handling.ConditionalJump:
                Unpark();
                EmitExit(decoded.Instruction.NearBranchTarget, (int)ConditionNumber(decoded.Instruction));
                break;
            case Handling.Loop:
                EmitLoop(decoded.Instruction);
                break;
            case Handling.Syscall:
                EmitLeaving(decoded.Instruction.NextIP, CallbackKind.Syscall, 0);
                break;
            case Handling.Breakpoint:
                EmitLeaving(decoded.Instruction.NextIP, CallbackKind.Raise, GuestException.Breakpoint);
                break;
            case Handling.Environment:
                EmitLeaving(decoded.Instruction.IP, CallbackKind.Environment, AddInstruction(decoded.Instruction));
                break;
            case Handling.ReadSelector when decoded.Instruction.Op0Kind == OpKind.Register:
                _asm.State(0x0FB7, Gpr.T0, StateLayout.Selectors + (2 * decoded.Instruction.Op1Register.GetNumber()), wide: false);
                StoreGuest(GuestNumber(decoded.Instruction.Op0Register), decoded.Instruction.Op0Register.GetSize(), Gpr.T0);
                break;
            case Handling.ReadSelector:
                // To memory: rare enough for the general way, which stores two bytes.
                EmitInterpret(decoded.Instruction);
                break;
            case Handling.Interpret:
                EmitInterpret(decoded.Instruction);
                break;
            default:
                EmitLeaving(decoded.Instruction.IP, CallbackKind.Raise, GuestException.InvalidOpcode);
                break;
        }
    }

    // State.Rip := rip ; Argument := argument ; jmp callback
    private void EmitLeaving(ulong rip, CallbackKind kind, uint argument)
    {
        Unpark();
        _asm.MoveImmediate(Gpr.T0, rip);
        _asm.StoreState(StateLayout.Rip, Gpr.T0);
        _asm.StoreStateImmediate32(StateLayout.Argument, argument);
        _asm.Jump(_stubs.Callback(kind));
    }

    private void EmitInterpret(in Instruction instruction)
    {
        Unpark();
        _asm.MoveImmediate(Gpr.T0, instruction.IP);
        _asm.StoreState(StateLayout.Rip, Gpr.T0);
        _asm.StoreStateImmediate32(StateLayout.Argument, AddInstruction(instruction));
        _asm.Call(_stubs.Callback(CallbackKind.Interpret));
        _stackDeltaInT1 = false;
    }

    private uint AddInstruction(in Instruction instruction)
    {
        _cache.Instructions.Add((instruction, _block));
        return (uint)(_cache.Instructions.Count - 1);
    }

    private void Park()
    {
        if (!_flagsParked)
        {
            _asm.ParkFlags();
            _flagsParked = true;
        }
    }

    private void Unpark()
    {
        if (_flagsParked)
        {
            _asm.UnparkFlags();
            _flagsParked = false;
        }
    }

    private void RecordFaultPoint(int hostOffset, in Instruction instruction, byte parkedRegister = 255) =>
        _cache.FaultPoints.Add(new FaultPoint(hostOffset, (ushort)(instruction.IP - _block.Key.Virtual), _flagsParked, parkedRegister));

    private void AddCold(ColdKind kind, int patch, int site = 0, int resume = 0) => _cold.Add(new ColdPath(kind, patch, site, resume, -1));

    private int AddSite(ulong rip, int size, bool write, bool stack, bool stackSegment, int bank = 0)
    {
        _cache.Sites.Add(new AccessSite
        {
            Rip = rip,
            Owner = _block,
            Size = size,
            Write = write,
            FlagsParked = _flagsParked,
            Stack = stack,
            StackSegment = stackSegment,
            Bank = (byte)bank,
        });
        return _cache.Sites.Count - 1;
    }

    private void EmitColdPaths()
    {
        // Some add one: the list grows.
        for (int i = 0; i < _cold.Count; i++)
        {
            ColdPath cold = _cold[i];
            int start = _asm.Position;
            _asm.PatchRelative(cold.Patch, start);
            switch (cold.Kind)
            {
                case ColdKind.Access:
                    // T1 still points to the entry whose page address was subtracted from T0.
                    _asm.Memory(0x03, Gpr.T0, Gpr.T1, -1, 1, 0, wide: true);
                    _asm.StoreStateImmediate32(StateLayout.Argument, (uint)cold.Site);
                    AccessSite site = _cache.Sites[cold.Site];
                    _asm.Call(_stubs.Access((IsUser ? TlbArray.UserRead : TlbArray.KernelRead) + (site.Write ? 1 : 0), site.Size));
                    _asm.Jump(cold.Resume);
                    if (cold.Bounced >= 0)
                    {
                        EmitBounced(_bounced[cold.Bounced]);
                    }

                    break;
                case ColdKind.StackWindow:
                    AccessSite stackSite = _cache.Sites[cold.Site];
                    _asm.StoreStateImmediate32(StateLayout.Argument, (uint)cold.Site);
                    _asm.MoveImmediate(Gpr.T1, (uint)(4096 - stackSite.Size));
                    _asm.Call(_stubs.StackWindow(IsUser));
                    _asm.Jump(cold.Resume);
                    EmitPlainExit(stackSite);
                    break;
                case ColdKind.Branch:
                    Stubs.EmitBranch(_asm);
                    break;
                case ColdKind.Link:
                    _asm.StoreStateImmediate32(StateLayout.Argument, (uint)cold.Site);
                    _asm.Jump(_stubs.Callback(CallbackKind.Link));
                    BlockExit exit = _cache.Exits[cold.Site];
                    exit.Cold = start;
                    _cache.Exits[cold.Site] = exit;
                    break;
                default:
                    _asm.MoveImmediate(Gpr.T0, _block.Key.Virtual);
                    _asm.StoreState(StateLayout.Rip, Gpr.T0);
                    _asm.Jump(_stubs.Callback(cold.Kind == ColdKind.Poll ? CallbackKind.Poll : CallbackKind.PageCheck));
                    break;
            }
        }
    }

    // What the block wants to access together does not lie in one page: the same instruction goes on in a block that looks at each
    // access by itself.
    private void EmitPlainExit(in AccessSite site)
    {
        _flagsParked = site.FlagsParked;
        Unpark();
        AddExit(site.Rip, _asm.Jump(0), BlockVariant.NoStackWindow);
    }

    private readonly record struct ColdPath(ColdKind Kind, int Patch, int Site, int Resume, int Bounced);

    /// <summary>Takes the encoder's bytes.</summary>
    private sealed class EmissionBuffer : CodeWriter
    {
        private readonly byte[] _bytes = new byte[32];
        private int _length;

        public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, _length);

        public void Clear() => _length = 0;

        public override void WriteByte(byte value) => _bytes[_length++] = value;
    }
}
