using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

// The sequences that compute and check host addresses, one row per instruction: what must hold before, what holds after. An instruction
// that matches no row is judged as any other, and there the memory operands of these rows are denied.
internal sealed unsafe partial class BlockVerifier
{
    private const int PageBytes = 4096;
    private const int PageShift = 12;

    // TLB arrays: entries of 16 bytes {page address, distance to the host}, selected by bits 12 … of the address.
    private const int EntryShift = 12 - 4;
    private const int EntryMask = (Memory.TlbContext.TlbEntries - 1) * 16;
    private const int EntryPageAddress = 0;
    private const int EntryDistance = 8;

    private bool TryPattern(int index, in Instruction instruction, ref AbstractState state)
    {
        switch (instruction.Code)
        {
            // ---- Lookup: T0 = guest address
            //   mov t1d,t0d ; shr t1d,8 ; and t1d,mask ; add t1,[tlb] ; sub t0,[t1] ; cmp t0,4096-size ; ja cold
            //   then, for [t0]: add t0,[t1] ; add t0,[t1+8] , for [t0+t1]: add t0,[t1], or the lea that t0 came from ; mov t1,[t1+8] ,
            //   for [base+t1]: mov t1,[t1+8]
            // cold: add t0,[t1], and both are as before the subtraction
            case Code.Mov_r32_rm32 or Code.Mov_rm32_r32 when Are(instruction, Register.R11D, Register.R10D) && !state.T0.IsHost:
                state.SetT1(new Value(ValueKind.AddressCopy));
                return true;

            case Code.Shr_rm32_imm8 when instruction.Op0Register == Register.R11D && state.T1.Kind == ValueKind.AddressCopy && instruction.Immediate8 == EntryShift:
                state.T1 = new Value(ValueKind.AddressShifted);
                state.Flags = FlagFact.None;
                return true;

            case Code.And_rm32_imm32 or Code.And_rm32_imm8 when instruction.Op0Register == Register.R11D && !state.T1.IsHost && (int)instruction.GetImmediate(1) >= 0:
                int mask = (int)instruction.GetImmediate(1);
                bool selects = state.T1.Kind == ValueKind.AddressShifted && mask == EntryMask;
                state.SetT1(selects ? new Value(ValueKind.EntryOffset) : new Value(ValueKind.Bounded, 0, mask));
                state.Flags = FlagFact.None;
                return true;

            case Code.Add_r64_rm64 when instruction.Op0Register == Register.R11 && state.T1.Kind == ValueKind.EntryOffset && IsField(instruction, FieldUse.Tlb, out StateField tlb):
                if (tlb.User != IsUser)
                {
                    return false;
                }

                state.T1 = new Value(ValueKind.SelectedEntry, Write: tlb.Write);
                state.Flags = FlagFact.None;
                return true;

            case Code.Sub_r64_rm64 when instruction.Op0Register == Register.R10 && state.T1.Kind == ValueKind.SelectedEntry && IsEntry(instruction, EntryPageAddress):
                Value selecting = AddressIn(state.T0, state);
                state.T0 = selecting with { Kind = ValueKind.PageOffset };
                state.T1 = new Value(ValueKind.MatchedEntry, Write: state.T1.Write);
                state.Flags = FlagFact.None;
                return true;

            case Code.Add_r64_rm64 when instruction.Op0Register == Register.R10 && state.T1.Kind == ValueKind.MatchedEntry && state.T0 is { Kind: ValueKind.CheckedOffset, High: > 0 }
                && IsEntry(instruction, EntryPageAddress):
                state.T0 = state.T0 with { Kind = ValueKind.CheckedAddress };
                state.Flags = FlagFact.None;
                return true;

            case Code.Add_r64_rm64 when instruction.Op0Register == Register.R10 && state.T1.Kind == ValueKind.MatchedEntry && state.T0.Kind == ValueKind.CheckedAddress
                && IsEntry(instruction, EntryDistance):
                state.SetT0(new Value(ValueKind.Pointer, 0, state.T0.High, state.T1.Write));
                state.Flags = FlagFact.None;
                return true;

            case Code.Lea_r64_m when instruction.Op0Register == Register.R10 && state.T1.Kind == ValueKind.MatchedEntry && state.T0 is { Kind: ValueKind.CheckedOffset, High: > 0, Index: > 0 }
                && TryIndexed(instruction, ref state, out Value again) && again == new Value(ValueKind.IndexedAddress, Base: state.T0.Base, Offset: state.T0.Offset, Index: state.T0.Index, Scale: state.T0.Scale):
                state.T0 = new Value(ValueKind.CheckedAddress, 0, state.T0.High);
                return true;

            case Code.Mov_r64_rm64 when instruction.Op0Register == Register.R11 && state.T1.Kind == ValueKind.MatchedEntry && state.T0 is { Kind: ValueKind.CheckedAddress or ValueKind.CheckedOffset, High: > 0 }
                && IsEntry(instruction, EntryDistance):
                Value found = DeltaOf(state.T0, state.T0.High, state.T1.Write);
                state.T1 = state.T0.Kind == ValueKind.CheckedAddress ? found : found.OffBase;
                state.T0 = Value.Guest;
                return true;

            case Code.Lea_r64_m when instruction.Op0Register == Register.R10 && state.T1.Kind == ValueKind.AddressDelta && IsSum(instruction, Register.R10, Register.R11):
                state.SetT0(new Value(ValueKind.Pointer, 0, state.T1.High, state.T1.Write));
                return true;

            case Code.Add_r64_rm64 when instruction.Op0Register == Register.R10 && state.T1.Kind == ValueKind.MatchedEntry && IsEntry(instruction, EntryPageAddress):
                // T0 is the address again that selects the entry, if it still was what the entry's page address was subtracted from.
                bool selectsAgain = state.T0.Kind == ValueKind.PageOffset;
                Value entry = new(ValueKind.SelectedEntry, Write: state.T1.Write);
                Value address = state.T0 is { Base: 0 } or { Index: > 0 } ? Value.Guest : new Value(ValueKind.BaseAddress, Base: state.T0.Base, Offset: state.T0.Offset);
                state.SetT0(address);
                state.T1 = selectsAgain ? entry : Value.Secret;
                state.Flags = FlagFact.None;
                return true;

            // ---- Inline entry: mov t1,t0 ; sub t1,[page] ; cmp t1,4096-size ; ja cold ; add t0,[distance] , or, for [t0+t1], mov t1,[distance]
            //   or, off a register: lea t1,[base+low] ; sub t1,[page] ; cmp t1,4096-length ; ja cold ; mov t1,[distance]
            // cold: lea t1,[rip+page] ; stub
            case Code.Mov_r64_rm64 when Are(instruction, Register.R11, Register.R10) && !state.T0.IsHost:
                state.SetT1(new Value(ValueKind.FullCopy));
                return true;

            case Code.Sub_r64_rm64 when instruction.Op0Register == Register.R11 && AddressIn(state.T1, state) is { Kind: ValueKind.FullCopy or ValueKind.BaseAddress } inlineAddress
                && IsField(instruction, FieldUse.InlinePage, out StateField inlinePage):
                state.SetT1(new Value(ValueKind.InlineOffset, Low: inlinePage.Number, Write: inlinePage.Write, Base: inlineAddress.Base, Offset: inlineAddress.Offset));
                state.Flags = FlagFact.None;
                return inlinePage.User == IsUser;

            case Code.Cmp_rm64_imm32 or Code.Cmp_rm64_imm8 when instruction.Op0Register == Register.R11 && state.T1.Kind == ValueKind.InlineOffset:
                state.Flags = FlagFact.InlineBound;
                state.FlagBound = (int)(long)instruction.GetImmediate(1);
                return true;

            case Code.Add_r64_rm64 when instruction.Op0Register == Register.R10 && state.T1 is { Kind: ValueKind.InlineChecked, Base: 0 } && !state.T0.IsHost
                && IsField(instruction, FieldUse.InlineDistance, out StateField distance) && distance.Number == state.T1.Low:
                state.SetT0(new Value(ValueKind.Pointer, 0, state.T1.High, state.T1.Write));
                state.Flags = FlagFact.None;
                return true;

            case Code.Mov_r64_rm64 when instruction.Op0Register == Register.R11 && state.T1.Kind == ValueKind.InlineChecked
                && IsField(instruction, FieldUse.InlineDistance, out StateField based) && based.Number == state.T1.Low:
                Value inlineDelta = new(ValueKind.AddressDelta, 0, state.T1.High, state.T1.Write, state.T1.Base, state.T1.Offset);
                state.SetT1(state.T1.Base != 0 ? inlineDelta.OffBase : inlineDelta);
                return true;

            case Code.Lea_r64_m when instruction.Op0Register == Register.R11 && instruction.MemoryBase == Register.RIP
                && _fields.Find((long)instruction.IPRelativeMemoryAddress - (long)_data, sizeof(ulong)) is { Use: FieldUse.InlinePage } pageField:
                state.SetT1(new Value(ValueKind.InlineEntry, Low: pageField.Number, Write: pageField.Write));
                return true;

            // ---- Base group: lea t0,[base+low] (or mov t0,base) ; a lookup for [base+t1] ; mov [slot],t1
            //   then: op [base+t1+disp] ; and later: mov t1,[slot] ; op [base+t1+disp]
            case Code.Lea_r64_m when instruction.Op0Register is Register.R10 or Register.R11 && TryBase(instruction, ref state, out byte baseRegister, out int fromBase):
                SetT0OrT1(instruction, new Value(ValueKind.BaseAddress, Base: baseRegister, Offset: fromBase), ref state);
                return true;

            case Code.Lea_r64_m when instruction.Op0Register == Register.R10 && TryIndexed(instruction, ref state, out Value indexed):
                state.SetT0(indexed);
                return true;

            case Code.Mov_r64_rm64 when instruction.Op0Register is Register.R10 or Register.R11 && IsBaseCopy(instruction, state):
                SetT0OrT1(instruction, new Value(ValueKind.BaseAddress, Base: (byte)(VerifiedRegisters.Number(instruction.Op1Register) + 1)), ref state);
                return true;

            case Code.Mov_rm64_r64 when instruction.Op1Register == Register.R11 && state.T1.OffBase is { Kind: ValueKind.BaseDelta } keptDelta && IsField(instruction, FieldUse.BaseDelta, out StateField kept):
                state.Deltas[kept.Number] = keptDelta;
                return true;

            case Code.Mov_r64_rm64 when instruction.Op0Register == Register.R11 && IsField(instruction, FieldUse.BaseDelta, out StateField used):
                state.SetT1(state.Deltas[used.Number].Base == 0 ? Value.Secret : state.Deltas[used.Number]);
                return true;

            // The bound of both kinds of check; the branch on it is in BlockVerifier.Control.cs.
            case Code.Cmp_rm64_imm32 or Code.Cmp_rm64_imm8 when instruction.Op0Register == Register.R10 && state.T0.Kind is ValueKind.PageOffset or ValueKind.StackOffset:
                state.Flags = FlagFact.Bound;
                state.FlagBound = (int)(long)instruction.GetImmediate(1);
                return true;

            // ---- Stack window: lea t0,[rsp+low] ; add t0,[negative] ; cmp t0,4096-length ; ja cold ; mov t1,[delta] ; op [rsp+t1+disp]
            case Code.Lea_r64_m when instruction.Op0Register == Register.R10 && IsBased(instruction, Register.R9):
                state.SetT0(TryDistance(instruction, out int low) ? new Value(ValueKind.StackAddress, low) : Value.Guest);
                return true;

            case Code.Add_r64_rm64 when instruction.Op0Register == Register.R10 && state.T0.Kind == ValueKind.StackAddress && IsField(instruction, FieldUse.StackNegative, out StateField page):
                if (page.User != IsUser)
                {
                    return false;
                }

                state.SetT0(state.T0 with { Kind = ValueKind.StackOffset });
                state.Flags = FlagFact.None;
                return true;

            case Code.Mov_r64_rm64 when instruction.Op0Register == Register.R11 && IsField(instruction, FieldUse.StackDelta, out StateField delta):
                if (delta.User != IsUser)
                {
                    return false;
                }

                state.SetT1(new Value(ValueKind.StackDelta));
                return true;

            // The same without flags: mov t1d,12 ; mov rcx,[negative] ; lea t0,[rcx+rsp+low] ; shrx rcx,t0,t1 ; lea t0,[t0+length-1]
            //   shrx t0,t0,t1 ; lea rcx,[rcx+t0] ; jrcxz inside
            case Code.Mov_r64_rm64 when instruction.Op0Register == Register.RCX && IsField(instruction, FieldUse.StackNegative, out StateField negative):
                if (negative.User != IsUser)
                {
                    return false;
                }

                state.Rcx = new Value(ValueKind.StackNegative);
                return true;

            case Code.Lea_r64_m when instruction.Op0Register == Register.R10 && state.Rcx.Kind == ValueKind.StackNegative && instruction.MemoryBase == Register.RCX
                && instruction.MemoryIndex == Register.R9 && instruction.MemoryIndexScale == 1 && TryDistance(instruction, out int begin):
                state.SetT0(new Value(ValueKind.StackOffset, begin));
                return true;

            case Code.Lea_r64_m when instruction.Op0Register == Register.R10 && state.T0.Kind == ValueKind.StackOffset && IsBased(instruction, Register.R10)
                && TryDistance(instruction, out int further) && further is >= 0 and < PageBytes:
                state.SetT0(new Value(ValueKind.StackOffset, state.T0.Low + further));
                return true;

            case Code.VEX_Shrx_r64_rm64_r64 when instruction is { Op0Register: Register.RCX, Op1Register: Register.R10, Op2Register: Register.R11 }
                && state.T0.Kind == ValueKind.StackOffset && state.T1 == new Value(ValueKind.WindowBound, PageShift):
                state.Rcx = new Value(ValueKind.PageDistance, state.T0.Low);
                return true;

            case Code.VEX_Shrx_r64_rm64_r64 when instruction is { Op0Register: Register.R10, Op1Register: Register.R10, Op2Register: Register.R11 }
                && state.T0.Kind == ValueKind.StackOffset && state.T1 == new Value(ValueKind.WindowBound, PageShift):
                state.SetT0(new Value(ValueKind.PageDistance, state.T0.Low));
                return true;

            case Code.Lea_r64_m when instruction.Op0Register == Register.RCX && state.Rcx.Kind == ValueKind.PageDistance && state.T0.Kind == ValueKind.PageDistance
                && IsSum(instruction, Register.RCX, Register.R10):
                state.Rcx = new Value(ValueKind.PageDistances, state.Rcx.Low, state.T0.Low);
                return true;

            // cold: mov t1d,4096-length ; call
            case Code.Mov_r32_imm32 when instruction.Op0Register == Register.R11D && instruction.Immediate32 < PageBytes && instruction.Immediate32 != _block.Key.Virtual:
                state.SetT1(new Value(ValueKind.WindowBound, (int)instruction.Immediate32));
                return true;

            // Guest rsp moves by a constant.
            case Code.Lea_r64_m when instruction.Op0Register == Register.R9 && IsBased(instruction, Register.R9) && TryDistance(instruction, out int moved):
                state.MoveStack(moved);
                return true;

            case Code.Add_rm64_imm8 or Code.Add_rm64_imm32 or Code.Sub_rm64_imm8 or Code.Sub_rm64_imm32 when instruction.Op0Register == Register.R9 && TryChange(instruction, out int change):
                state.MoveStack(change);
                state.Flags = FlagFact.None;
                return true;

            // ---- A confined address in a register that needs no REX prefix, for ah … dh
            case Code.Lea_r64_m when Parkable(instruction.Op0Register) && state.Parked == 0 && TryPointer(instruction, state, out Value pointer):
                state.Parked = VerifiedRegisters.Number(instruction.Op0Register);
                state.ParkedValue = pointer;
                return true;

            // ---- Head: is the page's mapping the right one?
            //   mov t1,[slots] ; cmp dword [t1+slot],id ; jne cold
            //   or  mov rcx,[slots] ; mov ecx,[rcx+slot] ; lea ecx,[rcx-id] ; jrcxz same
            case Code.Mov_r64_rm64 when instruction.Op0Register is Register.R11 or Register.RCX && IsField(instruction, FieldUse.PageSlots, out _):
                SetT1OrRcx(instruction, new Value(ValueKind.PageSlots), ref state);
                return true;

            case Code.Cmp_rm32_imm32 or Code.Cmp_rm32_imm8 when state.T1.Kind == ValueKind.PageSlots && IsPageSlot(instruction, Register.R11):
                state.Flags = IsUser && instruction.GetImmediate(1) == _pageId ? FlagFact.PageId : FlagFact.None;
                return true;

            case Code.Mov_r32_rm32 when instruction.Op0Register == Register.ECX && state.Rcx.Kind == ValueKind.PageSlots && IsPageSlot(instruction, Register.RCX):
                state.Rcx = new Value(ValueKind.PageId);
                return true;

            case Code.Lea_r32_m when instruction.Op0Register == Register.ECX && state.Rcx.Kind == ValueKind.PageId && IsBased(instruction, Register.RCX):
                bool isExpected = IsUser && (uint)instruction.MemoryDisplacement64 == 0 - _pageId;
                state.Rcx = isExpected ? new Value(ValueKind.PageIdDifference) : Value.Secret;
                return true;

            // ---- Head: does the indirect branch want this block?
            //   mov t1,address ; cmp t1,[target] ; jne miss
            case Code.Mov_r64_imm64 or Code.Mov_r32_imm32 or Code.Mov_rm64_imm32 when instruction.Op0Register is Register.R11 or Register.R11D && instruction.GetImmediate(1) == _block.Key.Virtual:
                state.SetT1(new Value(ValueKind.OwnAddress));
                return true;

            case Code.Cmp_r64_rm64 when instruction.Op0Register == Register.R11 && state.T1.Kind == ValueKind.OwnAddress && IsField(instruction, FieldUse.BranchTarget, out _):
                state.Flags = FlagFact.BranchTarget;
                return true;

            // ---- Head: is a poll wanted, and is there room for a call?
            //   cmp rsp,[limit] ; jb cold
            //   or  mov ecx,[clear] ; jrcxz cold
            //   and rorx rcx,rsp,bits ; movzx ecx,cx ; mov t0d,[tag] ; lea ecx,[rcx+t0] ; jrcxz cold
            case Code.Cmp_r64_rm64 when instruction.Op0Register == Register.RSP && IsField(instruction, FieldUse.Limit, out _):
                state.Flags = FlagFact.Limit;
                return true;

            case Code.Mov_r32_rm32 when instruction.Op0Register == Register.ECX && IsField(instruction, FieldUse.PollClear, out _):
                state.Rcx = new Value(ValueKind.PollClear);
                return true;

            case Code.VEX_Rorx_r64_rm64_imm8 when Are(instruction, Register.RCX, Register.RSP) && instruction.Immediate8 == Emission.Stubs.PairStackBits:
                state.Rcx = new Value(ValueKind.StackUnits);
                return true;

            case Code.Movzx_r32_rm16 when Are(instruction, Register.ECX, Register.CX) && state.Rcx.Kind == ValueKind.StackUnits:
                state.Rcx = new Value(ValueKind.StackUnit);
                return true;

            case Code.Mov_r32_rm32 when instruction.Op0Register == Register.R10D && IsField(instruction, FieldUse.DepthTag, out _):
                state.SetT0(new Value(ValueKind.DepthTag));
                return true;

            case Code.Lea_r32_m when instruction.Op0Register == Register.ECX && state.Rcx.Kind == ValueKind.StackUnit && state.T0.Kind == ValueKind.DepthTag && IsSum(instruction, Register.RCX, Register.R10):
                state.Rcx = new Value(ValueKind.DepthDifference);
                return true;

            // ---- Indirect branch: T0 = guest address
            //   mov [target],t0 ; ... ; and t1d,mask ; mov t0,[table] ; jmp [t0+t1*8]
            case Code.Mov_rm64_r64 when instruction.Op1Register == Register.R10 && !state.T0.IsHost && IsField(instruction, FieldUse.BranchTarget, out _):
                state.HasTarget = true;
                return true;

            case Code.Mov_r64_rm64 when instruction.Op0Register == Register.R10 && IsField(instruction, FieldUse.BranchTable, out _):
                state.SetT0(new Value(ValueKind.BranchTable));
                return true;

            // ---- Flags: mov [kept],rax ; ... ; mov rax,[kept]
            case Code.Mov_rm64_r64 when IsField(instruction, FieldUse.KeptRax, out _) && instruction.Op1Register == Register.RAX:
                state.KeepRax();
                return true;

            case Code.Mov_r64_rm64 when IsField(instruction, FieldUse.KeptRax, out _) && instruction.Op0Register == Register.RAX && state.RaxKept:
                state.RaxAway = false;
                return true;

            //   or mov t,rax ; ... ; mov rax,t
            case Code.Mov_r64_rm64 when instruction.Op0Register is Register.R10 or Register.R11 && Are(instruction, instruction.Op0Register, Register.RAX) && state.Parked == 0:
                state.CopyRax(instruction.Op0Register);
                return true;

            case Code.Mov_r64_rm64 when IsRaxBack(instruction, state):
                state.RaxAway = false;
                return true;

            // ---- Argument of a callback
            case Code.Mov_rm32_imm32 when IsField(instruction, FieldUse.Argument, out _):
                state.Argument = instruction.Immediate32 <= int.MaxValue ? (int)instruction.Immediate32 : AbstractState.NoArgument;
                return true;

            // ---- Addresses that are only computed
            case Code.Lea_r64_m or Code.Lea_r32_m or Code.Lea_r16_m:
                return StepLea(index, instruction, ref state);

            default:
                return false;
        }
    }

    private bool StepLea(int index, in Instruction instruction, ref AbstractState state)
    {
        byte destination = VerifiedRegisters.Number(instruction.Op0Register);
        if (!IsComputable(index, instruction.MemoryBase, state) || !IsComputable(index, instruction.MemoryIndex, state)
            || !CanUse(index, destination, read: instruction.Code == Code.Lea_r16_m, state))
        {
            return false;
        }

        Overwrite(destination, ref state);
        return true;
    }

    private bool IsComputable(int index, Register register, in AbstractState state)
    {
        if (register == Register.None)
        {
            return true;
        }

        byte number = VerifiedRegisters.Number(register);
        return number == VerifiedRegisters.None ? Fail(index, $"address from {register}") : CanUse(index, number, read: true, state);
    }

    // ---- Shapes

    private static bool Are(in Instruction instruction, Register first, Register second) =>
        instruction.Op0Register == first && instruction.Op1Kind == OpKind.Register && instruction.Op1Register == second;

    // A guest address in T0 or T1: what is known of it. rax may be meant as an address when it is copied.
    private static Value AddressIn(in Value value, in AbstractState state) => value.Kind switch
    {
        ValueKind.RaxCopy => state.RaxAway ? Value.Guest : new Value(ValueKind.BaseAddress, Base: VerifiedRegisters.Rax + 1),
        ValueKind.BaseAddress or ValueKind.IndexedAddress or ValueKind.FullCopy => value,
        _ => Value.Guest,
    };

    // The distance to the host for bytes from an address in T0; off its base register too, if nothing else was added.
    private static Value DeltaOf(in Value address, int length, bool write) => address.Index == 0
        ? new Value(ValueKind.AddressDelta, 0, length, write, address.Base, address.Offset)
        : new Value(ValueKind.AddressDelta, 0, length, write);

    private static void SetT0OrT1(in Instruction instruction, in Value value, ref AbstractState state)
    {
        if (instruction.Op0Register == Register.R10)
        {
            state.SetT0(value);
        }
        else
        {
            state.SetT1(value);
        }
    }

    // [base+index*scale+displacement], with guest registers as they are
    private static bool TryIndexed(in Instruction instruction, ref AbstractState state, out Value address)
    {
        address = default;
        if (!instruction.MemoryIndex.IsGPR64() || !(instruction.MemoryBase.IsGPR64() || instruction.MemoryBase == Register.None) || instruction.SegmentPrefix != Register.None
            || !IsGuestValue(instruction.MemoryIndex, state) || !IsGuestValue(instruction.MemoryBase, state))
        {
            return false;
        }

        if (state.RaxAway && (instruction.MemoryBase == Register.RAX || instruction.MemoryIndex == Register.RAX))
        {
            state.DropRax();
        }

        byte baseNumber = (byte)(instruction.MemoryBase == Register.None ? 0 : VerifiedRegisters.Number(instruction.MemoryBase) + 1);
        byte index = (byte)(VerifiedRegisters.Number(instruction.MemoryIndex) + 1);
        address = new Value(ValueKind.IndexedAddress, Base: baseNumber, Offset: (int)(long)instruction.MemoryDisplacement64, Index: index, Scale: (byte)instruction.MemoryIndexScale);
        return true;
    }

    // Whether a register is not a scratch register and holds what the guest has in it.
    private static bool IsGuestValue(Register register, in AbstractState state) =>
        register is not (Register.RSP or Register.R10 or Register.R11) && (register != Register.RCX || !state.Rcx.IsHost)
        && (register == Register.None || state.Parked == 0 || VerifiedRegisters.Number(register) != state.Parked);

    // mov t,base: a guest register that is the host's too. rax is another matter.
    private static bool IsBaseCopy(in Instruction instruction, in AbstractState state) =>
        instruction.Op1Kind == OpKind.Register && instruction.Op1Register is not (Register.RAX or Register.R9) && IsGuestValue(instruction.Op1Register, state);

    // [base+displacement], with a guest register as it is
    private static bool TryBase(in Instruction instruction, ref AbstractState state, out byte baseRegister, out int displacement)
    {
        baseRegister = 0;
        displacement = 0;
        Register register = instruction.MemoryBase;
        if (!IsBased(instruction, register) || !register.IsGPR64() || register is Register.RSP or Register.R9 or Register.R10 or Register.R11)
        {
            return false;
        }

        byte number = VerifiedRegisters.Number(register);
        baseRegister = (byte)(number + 1);
        if (!state.IsBase(number))
        {
            state.DropRax();
        }

        return (number != VerifiedRegisters.Rcx || !state.Rcx.IsHost) && (number != state.Parked || number == 0) && TryDistance(instruction, out displacement);
    }

    private static bool IsRaxBack(in Instruction instruction, in AbstractState state) =>
        (Are(instruction, Register.RAX, Register.R10) && state.T0.Kind == ValueKind.RaxCopy) || (Are(instruction, Register.RAX, Register.R11) && state.T1.Kind == ValueKind.RaxCopy);

    private static bool Parkable(Register register) => register is Register.RBP or Register.RSI or Register.RDI;

    private bool IsField(in Instruction instruction, FieldUse use, out StateField field)
    {
        field = FieldOf(instruction);
        return field.Use == use;
    }

    // [t1+displacement]
    private static bool IsEntry(in Instruction instruction, int displacement) =>
        IsBased(instruction, Register.R11) && instruction.MemoryDisplacement64 == (ulong)displacement;

    // [base+displacement], nothing more
    private static bool IsBased(in Instruction instruction, Register register) =>
        HasMemoryOperand(instruction) && instruction.SegmentPrefix == Register.None && instruction.MemoryBase == register && instruction.MemoryIndex == Register.None;

    private static bool HasMemoryOperand(in Instruction instruction) => instruction.Op0Kind == OpKind.Memory || instruction.Op1Kind == OpKind.Memory;

    private static void SetT1OrRcx(in Instruction instruction, in Value value, ref AbstractState state)
    {
        if (instruction.Op0Register == Register.R11)
        {
            state.SetT1(value);
        }
        else
        {
            state.Rcx = value;
        }
    }

    // [first+second]
    private static bool IsSum(in Instruction instruction, Register first, Register second) =>
        instruction.MemoryBase == first && instruction.MemoryIndex == second && instruction.MemoryIndexScale == 1 && instruction.MemoryDisplacement64 == 0;

    private bool IsPageSlot(in Instruction instruction, Register slots) =>
        IsBased(instruction, slots) && instruction.MemoryDisplacement64 == (ulong)(Memory.TlbContext.PageSlot(_pageId) * sizeof(uint));

    private static bool TryDistance(in Instruction instruction, out int distance) => TryNarrow((long)instruction.MemoryDisplacement64, out distance);

    private static bool TryChange(in Instruction instruction, out int change)
    {
        long value = (long)instruction.GetImmediate(1);
        return TryNarrow(instruction.Mnemonic == Mnemonic.Sub ? -value : value, out change);
    }

    // Sums of such distances do not overflow within a block.
    private static bool TryNarrow(long value, out int narrow)
    {
        const int Most = 1 << 20;
        narrow = (int)value;
        return value is > -Most and < Most;
    }
}
