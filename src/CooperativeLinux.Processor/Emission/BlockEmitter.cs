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
    private readonly BaseGroups _bases = new();
    private readonly FlagLookahead _lookahead;
    private readonly List<ColdPath> _cold = [];
    private readonly List<BouncedOperation> _bounced = [];
    private readonly OperandAccess[] _access = new OperandAccess[Enum.GetValues<Code>().Length];

    private readonly List<Fixup> _fixups = [];

    private Block _block = null!;
    private CodeRegion _region = null!;
    private InlineTlb? _inline;
    private bool _isMovable;
    private int _index;
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

    private bool IsUser => _block.Key.User;

    private bool IsCareful => _block.Key.Variant == BlockVariant.Careful;

    /// <summary>Emits decoded instructions as a block and registers it in the cache.</summary>
    /// <param name="pageId">Id of the (page, frame) pair for the checked entry; user mode only.</param>
    /// <param name="inline">The block runs often: its accesses get entries there, and it is not to be copied.</param>
    public Block Emit(in BlockKey key, BlockDecoder decoder, byte* bytes, int firstLength, byte* secondBytes, ulong secondFrame, uint pageId, InlineTlb? inline)
    {
        Span<DecodedInstruction> instructions = decoder.Instructions.AsSpan(0, decoder.Count);
        _lookahead.Begin(bytes - (key.Virtual & 0xFFF), key.Virtual & ~0xFFFUL);
        FlagLiveness.Analyse(instructions, _lookahead);
        _groups.Clear();
        _bases.Clear();
        if (key.Variant == BlockVariant.Normal)
        {
            _groups.Analyse(instructions);
            _bases.Analyse(instructions, keepsSingles: inline != null);
        }

        _region = _cache.Of(key.User);
        _asm.Position = _region.Position;
        _asm.Outside.Clear();
        _fixups.Clear();
        _inline = inline;
        _isMovable = key.User && inline == null && key.Variant != BlockVariant.Careful && key.Virtual >= BlockTemplate.LowestAddress;
        _block = new Block
        {
            Key = key,
            GuestLength = decoder.Length,
            SecondFrame = secondFrame,
            FirstExit = _region.Exits.Count,
            FirstFaultPoint = _region.FaultPoints.Count,
            FirstSite = _region.Sites.Count,
            FirstInstruction = _region.Instructions.Count,
        };
        _cold.Clear();
        _bounced.Clear();
        _flagsParked = false;
        _deltaInT1 = NoDelta;
        HoldNothing();
        _guestBytes = bytes;
        _guestBytesFirstLength = firstLength;
        _guestBytesSecond = secondBytes;

        EmitHead(instructions[0].LiveFlags != 0, instructions[^1].Handling == Handling.Call, pageId);
        for (int i = 0; i < instructions.Length; i++)
        {
            _index = i;
            EmitInstruction(ref instructions[i], i);
        }

        if (!BlockDecoder.EndsBlock(instructions[^1].Handling))
        {
            EmitExit(key.Virtual + (ulong)decoder.Length, -1);
        }

        EmitColdPaths();
        _block.HostEnd = _asm.Position;
        _block.Lookahead = _lookahead.Ranges.Count == 0 ? null : [.. _lookahead.Ranges];
        _block.ExitCount = _region.Exits.Count - _block.FirstExit;
        _block.FaultPointCount = _region.FaultPoints.Count - _block.FirstFaultPoint;
        _block.SiteCount = _region.Sites.Count - _block.FirstSite;
        _block.InstructionCount = _region.Instructions.Count - _block.FirstInstruction;
        if (_isMovable)
        {
            foreach (int position in _asm.Outside)
            {
                AddFixup(position, FixupKind.Outside);
            }

            _block.Fixups = [.. _fixups];
        }

        _cache.Add(_block);
        return _block;
    }

    // checked entry (user mode):  cmp dword [PageSlots+slot], id ; jne cold ; jmp entry
    // indirect entry:             mov t1, address ; cmp t1, [BranchTarget] ; jne miss ; where flags are live: unpark
    // entry:                      cmp rsp, [Limit] ; jb cold
    // Where flags are live the first and the last are done with lea and jrcxz, whose short jumps go to trampolines in front.
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
                _asm.Bytes([0x41, 0x81, 0xBB]); // cmp dword [r11+disp32],imm32
                EmitFixed(pageSlot * sizeof(uint), FixupKind.PageSlot);
                EmitFixed((int)pageId, FixupKind.PageId);
                AddCold(ColdKind.PageCheck, _asm.JumpIf(Condition.NotEqual, 0));
                toEntry = _asm.Jump(0);
            }

            EmitIndirectEntry();
            _block.Entry = _asm.Position;
            if (toEntry >= 0)
            {
                _asm.PatchRelative(toEntry, _asm.Position);
            }

            _asm.AluState(Alu.Cmp, Gpr.Rsp, StateLayout.Limit);
            AddCold(ColdKind.Poll, _asm.JumpIf(Condition.Below, 0));
            _block.Body = _asm.Position;
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
                _asm.Bytes([0x8B, 0x89]); // mov ecx,[rcx+disp32]
                EmitFixed(pageSlot * sizeof(uint), FixupKind.PageSlot);
                _asm.Bytes([0x8D, 0x89]); // lea ecx,[rcx+disp32]
                EmitFixed(-(int)pageId, FixupKind.NegatedPageId);
                int same = ShortJumpIfCounterZero(narrow: false);
                _asm.MoveRegister(Gpr.Rcx, Gpr.T1);
                AddCold(ColdKind.PageCheck, _asm.Jump(0));
                PatchShort(same);
                _asm.MoveRegister(Gpr.Rcx, Gpr.T1);
                toEntry = _asm.Jump(0);
            }

            EmitIndirectEntry();
            _asm.UnparkFlags(Gpr.T0);
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
            _block.Body = _asm.Position;
        }
    }

    private void EmitIndirectEntry()
    {
        _block.IndirectEntry = _asm.Position;
        EmitMoveAddress(Gpr.T1, _block.Key.Virtual);
        _asm.State(0x3B, Gpr.T1, StateLayout.BranchTarget);
        _asm.JumpIf(Condition.NotEqual, _stubs.BranchMiss);
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
            HoldNothing();
        }

        // The others use the scratch registers freely.
        if (decoded.Handling is not (Handling.Copy or Handling.ConditionalJump or Handling.Lea or Handling.Nothing))
        {
            HoldNothing();
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
                Unpark(Gpr.T0);
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
        Unpark(Gpr.T0);
        EmitMoveAddress(Gpr.T0, rip);
        _asm.StoreState(StateLayout.Rip, Gpr.T0);
        if (kind == CallbackKind.Environment)
        {
            StoreArgument((int)argument, FixupKind.Instruction);
        }
        else
        {
            _asm.StoreStateImmediate32(StateLayout.Argument, argument);
        }

        _asm.Jump(_stubs.Callback(kind));
    }

    private void EmitInterpret(in Instruction instruction)
    {
        Unpark(Gpr.T0);
        EmitMoveAddress(Gpr.T0, instruction.IP);
        _asm.StoreState(StateLayout.Rip, Gpr.T0);
        StoreArgument((int)AddInstruction(instruction), FixupKind.Instruction);
        int repeated = IsCareful ? -1 : _stubs.Repeated(instruction, IsUser);
        _asm.Call(repeated >= 0 ? repeated : _stubs.Callback(CallbackKind.Interpret));
        _deltaInT1 = NoDelta;
    }

    private uint AddInstruction(in Instruction instruction)
    {
        _region.Instructions.Add((instruction, _block));
        return (uint)(_region.Instructions.Count - 1);
    }

    // A guest address that moves with the block.
    private void EmitMoveAddress(int register, ulong address)
    {
        _asm.MoveImmediate(register, address);

        // An address relative to eip is cut to 32 bits.
        _isMovable &= address > uint.MaxValue;
        AddFixup(_asm.Position - sizeof(ulong), FixupKind.Address);
    }

    private void EmitFixed(int value, FixupKind kind)
    {
        AddFixup(_asm.Position, kind);
        _asm.Int32(value);
    }

    private void StoreArgument(int value, FixupKind kind)
    {
        _asm.StoreStateImmediate32(StateLayout.Argument, (uint)value);
        AddFixup(_asm.Position - sizeof(int), kind);
    }

    private void AddFixup(int position, FixupKind kind)
    {
        if (_isMovable)
        {
            _fixups.Add(new Fixup((ushort)(position - _block.HostStart), kind));
        }
    }

    private void RecordFaultPoint(int hostOffset, in Instruction instruction, byte parkedRegister = 255) =>
        _region.FaultPoints.Add(new FaultPoint(hostOffset, (ushort)(instruction.IP - _block.Key.Virtual), _flagsParked, parkedRegister));

    private void AddCold(ColdKind kind, int patch, int site = 0, int resume = 0) => _cold.Add(new ColdPath(kind, patch, site, resume, -1));

    private int AddSite(ulong rip, int size, bool write, bool stack, bool stackSegment, int bank = 0, int entry = NoEntry)
    {
        _region.Sites.Add(new AccessSite
        {
            Rip = rip,
            Owner = _block,
            Size = size,
            Write = write,
            FlagsParked = _flagsParked,
            Stack = stack,
            StackSegment = stackSegment,
            Bank = (byte)bank,
            Entry = (short)entry,
        });
        return _region.Sites.Count - 1;
    }

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
