using CooperativeLinux.Processor.Analysis;
using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Emission;

// Addresses, and confining accesses to guest memory.
internal sealed unsafe partial class BlockEmitter
{
    /// <summary>A confined operand: [Base + Index + Displacement] on the host.</summary>
    private readonly record struct HostOperand(int Base, int Index, int Displacement);

    /// <summary>How the host address of an operand that was looked up comes about.</summary>
    private enum OperandForm
    {
        /// <summary>T0 is the host address. T1 is free.</summary>
        Pointer,

        /// <summary>[T0+T1]: T0 is the guest address, and what is accessed waits for no sum of both.</summary>
        FromAddress,

        /// <summary>The same, where the address is computed once more: that waits for nothing.</summary>
        Indexed,

        /// <summary>[base+T1+displacement]. T0 is free.</summary>
        FromBase,
    }

    private static int HostOf(int guest) => guest == Gpr.Rsp ? Gpr.GuestRsp : guest;

    /// <summary>x86 number, 0 to 15, of the general register that contains a register.</summary>
    private static int GuestNumber(Register register) => register.GetFullRegister().GetNumber();

    private static bool IsInMemory(int guest) => guest is Gpr.R9 or Gpr.R10 or Gpr.R11;

    private int StackNegative => IsUser ? StateLayout.UserStackNegative : StateLayout.KernelStackNegative;

    private TlbArray ArrayFor(bool write) => (IsUser ? TlbArray.UserRead : TlbArray.KernelRead) + (write ? 1 : 0);

    private int StackDelta => IsUser ? StateLayout.UserStackDelta : StateLayout.KernelStackDelta;

    // T0 := rsp + low - window page ; must leave room for the group, else managed code finds the page.
    private void EmitStackCheck(in DecodedInstruction decoded, in StackGroup group)
    {
        if (decoded.ReadFlags != 0 && !_flagsParked && !_bases.IsInUse(Gpr.Rcx, _index))
        {
            EmitStackCheckKeepingFlags(decoded, group);
            return;
        }

        if (decoded.LiveFlags != 0)
        {
            Park();
        }

        // SANDBOX: rsp+low … rsp+high lies in the window's page, whose delta is what the group's accesses add.
        int length = group.High - group.Low;
        _asm.Lea(Gpr.T0, Gpr.GuestRsp, group.Low);
        _asm.AluState(Alu.Add, Gpr.T0, StackNegative);
        _asm.AluImmediate(Alu.Cmp, Gpr.T0, 4096 - length);
        int site = AddSite(decoded.Instruction.IP, length, group.Writes, stack: true, stackSegment: true);
        int patch = _asm.JumpIf(Condition.Above, 0);
        AddCold(ColdKind.StackWindow, patch, site: site, resume: _asm.Position);
        _deltaInT1 = NoDelta;
    }

    // The same without touching flags: whole pages of both ends' distances from the window must sum up to none. rcx is lent.
    //   mov [park],rcx ; mov t1d,12 ; mov rcx,[negative] ; lea t0,[rcx+rsp+low] ; shrx rcx,t0,t1 ; lea t0,[t0+length-1] ; shrx t0,t0,t1
    //   lea rcx,[rcx+t0] ; jrcxz inside ; mov rcx,[park] ; jmp cold ; inside: mov rcx,[park]
    private void EmitStackCheckKeepingFlags(in DecodedInstruction decoded, in StackGroup group)
    {
        int length = group.High - group.Low;
        _asm.StoreState(StateLayout.Park0, Gpr.Rcx);
        _asm.MoveImmediate(Gpr.T1, 12);
        _asm.LoadState(Gpr.Rcx, StackNegative);
        _asm.Memory(0x8D, Gpr.T0, Gpr.Rcx, Gpr.GuestRsp, 1, group.Low, wide: true);
        _asm.Bytes([0xC4, 0xC2, 0xA3, 0xF7, 0xCA]); // shrx rcx,r10,r11
        _asm.Lea(Gpr.T0, Gpr.T0, length - 1);
        _asm.Bytes([0xC4, 0x42, 0xA3, 0xF7, 0xD2]); // shrx r10,r10,r11
        _asm.Memory(0x8D, Gpr.Rcx, Gpr.Rcx, Gpr.T0, 1, 0, wide: true);
        int inside = ShortJumpIfCounterZero(narrow: false);
        _asm.LoadState(Gpr.Rcx, StateLayout.Park0);
        int patch = _asm.Jump(0);
        PatchShort(inside);
        _asm.LoadState(Gpr.Rcx, StateLayout.Park0);

        // Out of line the flags are parked.
        _flagsParked = true;
        int site = AddSite(decoded.Instruction.IP, length, group.Writes, stack: true, stackSegment: true);
        _flagsParked = false;
        _cold.Add(new ColdPath(ColdKind.StackWindowKeepingFlags, patch, site, _asm.Position, group.Low));
        _deltaInT1 = NoDelta;
    }

    /// <summary>The confined memory operand of an instruction.</summary>
    private HostOperand EmitOperand(ref DecodedInstruction decoded, int size, bool write)
    {
        ref Instruction instruction = ref decoded.Instruction;
        if (decoded.StackOperand)
        {
            int adjust = decoded.Handling == Handling.Pop ? instruction.StackPointerIncrement : 0;
            LoadStackDelta();
            return new HostOperand(Gpr.GuestRsp, Gpr.T1, (int)instruction.MemoryDisplacement64 + adjust);
        }

        int entry = NoEntry;
        if (decoded.BaseGroup >= 0 && _bases[decoded.BaseGroup].FirstInstruction == _index)
        {
            entry = TakeEntry(instruction.IP, _bases[decoded.BaseGroup].Write);
            if (entry < 0 && _bases[decoded.BaseGroup].Slot < 0)
            {
                decoded.BaseGroup = -1;
            }
        }

        if (decoded.BaseGroup >= 0)
        {
            return EmitGroupOperand(decoded, entry);
        }

        if (decoded.LiveFlags != 0 && !IsCareful)
        {
            Park();
        }

        EmitAddress(instruction, decoded.Handling == Handling.Pop ? instruction.StackPointerIncrement : 0);
        entry = TakeEntry(instruction.IP, write);
        OperandForm form = EmitLookup(instruction, size, write, UsesStackSegment(instruction), BankOf(instruction), entry, FormOf(decoded, entry >= 0));
        return form switch
        {
            OperandForm.Pointer => new HostOperand(Gpr.T0, -1, 0),
            OperandForm.FromAddress or OperandForm.Indexed => new HostOperand(Gpr.T0, Gpr.T1, 0),
            _ => new HostOperand(GuestNumber(instruction.MemoryBase), Gpr.T1, (int)instruction.MemoryDisplacement64),
        };
    }

    private OperandForm FormOf(in DecodedInstruction decoded, bool inline)
    {
        ref readonly Instruction instruction = ref decoded.Instruction;
        bool copies = decoded.Handling == Handling.Copy;
        if (!(copies || decoded.Handling is Handling.Jump or Handling.Call) || (copies && _flagsParked && GetAccess(instruction).TouchesFlags))
        {
            return OperandForm.Pointer;
        }

        int scratches = BaseGroups.ScratchesFor(instruction);
        if (!inline && scratches <= 1 && IsPlainBase(instruction))
        {
            return OperandForm.FromBase;
        }

        if (scratches > 0)
        {
            return OperandForm.Pointer;
        }

        return !inline && IsPlainIndex(instruction) ? OperandForm.Indexed : OperandForm.FromAddress;
    }

    // [base+index*scale+displacement] off registers that are the host's too.
    private static bool IsPlainIndex(in Instruction instruction) =>
        instruction.MemoryIndex.IsGPR64() && !IsInMemory(GuestNumber(instruction.MemoryIndex))
        && (instruction.MemoryBase == Register.None || (instruction.MemoryBase.IsGPR64() && !IsInMemory(GuestNumber(instruction.MemoryBase))))
        && instruction.SegmentPrefix is not (Register.FS or Register.GS);

    // [base+displacement] off a register that is the host's too.
    private static bool IsPlainBase(in Instruction instruction) =>
        instruction.MemoryBase.IsGPR64() && instruction.MemoryIndex == Register.None && instruction.MemoryBase != Register.RSP
        && !IsInMemory(GuestNumber(instruction.MemoryBase)) && instruction.SegmentPrefix is not (Register.FS or Register.GS)
        && (long)instruction.MemoryDisplacement64 is > -BaseGroups.MaxDisplacement and < BaseGroups.MaxDisplacement;

    // By the base register, and for operands far from it by the distance, so that what a loop reads and writes in turn does not meet
    // in one entry.
    private static int BankOf(in Instruction instruction)
    {
        const int HalfPage = 2048;
        const uint GoldenRatio = 0x9E37_79B1;
        if (instruction.MemoryBase == Register.None || instruction.IsIPRelativeMemoryOperand)
        {
            return 0;
        }

        uint pages = (uint)(((int)instruction.MemoryDisplacement64 + HalfPage) >> 12);
        return (GuestNumber(instruction.MemoryBase) + (int)(unchecked(pages * GoldenRatio) >> 30)) & (TlbContext.Banks - 1);
    }

    // Of the segment prefixes only fs and gs count in 64-bit mode.
    private static bool UsesStackSegment(in Instruction instruction) =>
        instruction.MemoryBase is Register.RSP or Register.RBP or Register.ESP or Register.EBP && instruction.SegmentPrefix is not (Register.FS or Register.GS);

    /// <summary>The confined slot of a push, pop, call or return at rsp+<paramref name="offset"/>.</summary>
    private HostOperand EmitStackSlot(ref DecodedInstruction decoded, int offset, int size, bool write)
    {
        if (decoded.StackGroup >= 0)
        {
            LoadStackDelta();
            return new HostOperand(Gpr.GuestRsp, Gpr.T1, offset);
        }

        if (decoded.LiveFlags != 0 && !IsCareful)
        {
            Park();
        }

        _asm.Lea(Gpr.T0, Gpr.GuestRsp, offset);
        return EmitPointer(decoded.Instruction, size, write, stackSegment: true);
    }

    private void LoadStackDelta()
    {
        if (_deltaInT1 != OfStack)
        {
            _asm.LoadState(Gpr.T1, StackDelta);
            _deltaInT1 = OfStack;
        }
    }

    private HostOperand EmitGroupOperand(in DecodedInstruction decoded, int entry)
    {
        ref readonly Instruction instruction = ref decoded.Instruction;
        BaseGroup group = _bases[decoded.BaseGroup];
        if (_index == group.FirstInstruction)
        {
            EmitGroupCheck(decoded, group, entry);
        }
        else if (_deltaInT1 != decoded.BaseGroup)
        {
            _asm.LoadState(Gpr.T1, StateLayout.BaseDelta(group.Slot));
        }

        _deltaInT1 = decoded.BaseGroup;
        return new HostOperand(group.Base, Gpr.T1, (int)instruction.MemoryDisplacement64);
    }

    // T1 := distance from guest to host address, for base+low … base+high, which must lie in one page that the TLB has.
    //   lea t0,[base+low] ; lookup as ever ; mov t1,[t1+8] ; mov [slot],t1
    private void EmitGroupCheck(in DecodedInstruction decoded, in BaseGroup group, int entry)
    {
        if (decoded.LiveFlags != 0)
        {
            Park();
        }

        if (entry >= 0)
        {
            EmitInlineGroupCheck(decoded, group, entry);
            return;
        }

        // SANDBOX: base+low … base+high lies in the page of an entry that matches, and base does not change in the group.
        EmitBaseAddress(Gpr.T0, group);
        int length = group.High - group.Low;
        int site = AddSite(decoded.Instruction.IP, length, group.Write, stack: false, UsesStackSegment(decoded.Instruction), BankOf(decoded.Instruction));
        _region.Sites[site].IsGroup = true;
        int patch = EmitMatch(length, group.Write, BankOf(decoded.Instruction));
        _asm.Load(Gpr.T1, Gpr.T1, 8);
        _cold.Add(new ColdPath(ColdKind.Group, patch, site, _asm.Position, decoded.BaseGroup));
        _asm.StoreState(StateLayout.BaseDelta(group.Slot), Gpr.T1);
    }

    // The lowest address of a group. A move costs no time.
    private void EmitBaseAddress(int scratch, in BaseGroup group)
    {
        if (group.Low == 0)
        {
            _asm.MoveRegister(scratch, group.Base);
        }
        else
        {
            _asm.Lea(scratch, group.Base, group.Low);
        }
    }

    private HostOperand EmitPointer(in Instruction instruction, int size, bool write, bool stackSegment = false)
    {
        EmitLookup(instruction, size, write, stackSegment, bank: 0, NoEntry, OperandForm.Pointer);
        return new HostOperand(Gpr.T0, -1, 0);
    }

    // T0 = guest address -> the operand in the form that is returned; flags are lost.
    //   mov t1d,t0d ; shr t1d,8 ; and t1d,index ; add t1,[tlb] ; sub t0,[t1] ; cmp t0,4096-size ; ja cold
    //   and then   Pointer: add t0,[t1] ; add t0,[t1+8]   FromAddress: add t0,[t1] ; mov t1,[t1+8]   FromBase: mov t1,[t1+8]
    //   Indexed: lea t0,[address] ; mov t1,[t1+8]
    private OperandForm EmitLookup(in Instruction instruction, int size, bool write, bool stackSegment, int bank, int entry, OperandForm form)
    {
        _deltaInT1 = NoDelta;
        if (entry >= 0)
        {
            EmitInlineLookup(instruction.IP, size, write, stackSegment, entry, form);
            return form;
        }

        int site = AddSite(instruction.IP, size, write, stack: false, stackSegment, bank);
        if (IsCareful)
        {
            StoreArgument(site, FixupKind.Site);
            _asm.Call(_stubs.Callback(CallbackKind.Bounce));
            return OperandForm.Pointer;
        }

        // SANDBOX: T0 is within [0, 4096-size] of a page that the entry maps, or the access goes to managed code. An empty entry
        // matches no address that selects it.
        int patch = EmitMatch(size, write, bank);
        if (form == OperandForm.Indexed)
        {
            EmitRegisterAddress(instruction, 0);
        }
        else if (form != OperandForm.FromBase)
        {
            _asm.Memory(0x03, Gpr.T0, Gpr.T1, -1, 1, 0, wide: true);
        }

        if (form == OperandForm.Pointer)
        {
            _asm.Memory(0x03, Gpr.T0, Gpr.T1, -1, 1, 8, wide: true);
        }
        else
        {
            _asm.Load(Gpr.T1, Gpr.T1, 8);
        }

        _cold.Add(new ColdPath(ColdKind.Access, patch, site, _asm.Position, -1, form == OperandForm.Pointer));
        return form;
    }

    // T1 := entry that T0 selects ; T0 := T0 - its page ; out of line if more than 4096-size. Returns the branch to patch.
    private int EmitMatch(int size, bool write, int bank)
    {
        TlbArray array = ArrayFor(write);
        _asm.MoveRegister32(Gpr.T1, Gpr.T0);
        _asm.Shift(5, Gpr.T1, 8, wide: false);
        _asm.AluImmediate(Alu.And, Gpr.T1, (TlbContext.TlbEntries - 1) << 4, wide: false);
        _asm.AluState(Alu.Add, Gpr.T1, StateLayout.Tlbs + ((((int)array * TlbContext.Banks) + bank) * 8));
        _asm.Memory(0x2B, Gpr.T0, Gpr.T1, -1, 1, 0, wide: true);
        _asm.AluImmediate(Alu.Cmp, Gpr.T0, 4096 - size);
        return _asm.JumpIf(Condition.Above, 0);
    }

    // After the access of a careful block: a bounced operand goes back to guest memory. Keeps everything but T0 and T1.
    private void FinishBounce(bool write)
    {
        if (IsCareful && write)
        {
            _asm.Call(_stubs.Callback(CallbackKind.BounceFinish));
            _deltaInT1 = NoDelta;
        }
    }
}
