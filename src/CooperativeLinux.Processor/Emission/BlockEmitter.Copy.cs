using CooperativeLinux.Processor.Analysis;
using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Processor.Emission;

// Instructions that run as they are, on host registers, with confined memory operands.
internal sealed unsafe partial class BlockEmitter
{
    /// <summary>How an instruction's operands are used, by Code.</summary>
    private struct OperandAccess
    {
        public bool Known;
        public bool TouchesFlags;

        /// <summary>May fault on the host though its address is good.</summary>
        public bool MayFault;

        /// <summary>Bit per operand: it is written.</summary>
        public byte Written;

        /// <summary>Bit per operand: what it held before is lost, if it is a register of 32 bits or more.</summary>
        public byte Replaced;
    }

    private void EmitCopy(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        OperandAccess access = GetAccess(instruction);
        int memoryOperand = -1;
        bool special = false;
        bool highByte = false;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            if (kind == OpKind.Memory)
            {
                memoryOperand = i;
            }
            else if (kind == OpKind.Register)
            {
                Register register = instruction.GetOpRegister(i);
                special |= IsSpecial(register);
                highByte |= register is Register.AH or Register.BH or Register.CH or Register.DH;
            }
            else if (kind is not (OpKind.Immediate8 or OpKind.Immediate16 or OpKind.Immediate32 or OpKind.Immediate64 or OpKind.Immediate8to16
                or OpKind.Immediate8to32 or OpKind.Immediate8to64 or OpKind.Immediate32to64 or OpKind.Immediate8_2nd))
            {
                // An operand kind the copier does not know must not be copied.
                EmitLeaving(instruction.IP, CallbackKind.Raise, GuestException.InvalidOpcode);
                return;
            }
        }

        if (memoryOperand < 0 && !special)
        {
            UnparkFor(access, Gpr.T0);
            if (access.MayFault)
            {
                RecordFaultPoint(_asm.Position, instruction);
            }

            CopyBytes(decoded);
            return;
        }

        EmitPatched(ref decoded, access, memoryOperand, highByte);
    }

    private void EmitPatched(ref DecodedInstruction decoded, in OperandAccess access, int memoryOperand, bool highByte)
    {
        HostOperand memory = default;
        bool memoryWritten = memoryOperand >= 0 && (access.Written & (1 << memoryOperand)) != 0;
        int lookups = _cold.Count;
        if (memoryOperand >= 0)
        {
            int size = Math.Max(decoded.Instruction.MemorySize.GetSize(), 1);
            memory = EmitOperand(ref decoded, size, memoryWritten);
            HoldNothing();
        }

        bool parked = _flagsParked;
        EmitOperation(decoded, access, memory, memoryOperand >= 0, highByte);
        if (memoryWritten && _cold.Count > lookups && !IsCareful && decoded.BaseGroup < 0)
        {
            // An operand that crosses a page: the same operation on a copy, which managed code then writes back.
            ColdPath cold = _cold[^1];
            _region.Sites[cold.Site].CanBounce = true;
            _cold[^1] = cold with { Number = _bounced.Count };
            _bounced.Add(new BouncedOperation(decoded, access, highByte, parked, _asm.Position));
            HoldNothing();
        }

        FinishBounce(memoryWritten);
    }

    // The instruction itself, with its memory operand confined already.
    private void EmitOperation(in DecodedInstruction decoded, in OperandAccess access, HostOperand memory, bool hasMemory, bool highByte)
    {
        Instruction patched = decoded.Instruction;
        if (hasMemory)
        {
            ReplaceCode(ref patched);
        }

        // A scratch register that the operand does not use.
        UnparkFor(access, !hasMemory || memory.Base != Gpr.T0 ? Gpr.T0 : memory.Index != Gpr.T1 ? Gpr.T1 : -1);

        // Registers that live in memory get a scratch register, or a parked one when there is none left.
        Span<int> scratchOf = stackalloc int[3];
        scratchOf.Fill(-1);
        Span<int> free = stackalloc int[2];
        int freeCount = 0;
        if (!hasMemory || memory.Base != Gpr.T0)
        {
            free[freeCount++] = Gpr.T0;
        }

        if (!hasMemory || memory.Index != Gpr.T1)
        {
            free[freeCount++] = Gpr.T1;
        }

        byte parkedRegister = 255;
        for (int i = 0; i < patched.OpCount; i++)
        {
            if (patched.GetOpKind(i) != OpKind.Register || !IsSpecial(patched.GetOpRegister(i)))
            {
                continue;
            }

            Register register = patched.GetOpRegister(i);
            int guest = GuestNumber(register);
            int host = Gpr.GuestRsp;
            if (highByte)
            {
                // ah … dh exclude a REX prefix, so rsp is in a register that needs none meanwhile.
                parkedRegister = PickParked(decoded.Instruction);
                _asm.StoreState(StateLayout.Park1, parkedRegister);
                _asm.MoveRegister(parkedRegister, Gpr.GuestRsp);
                host = parkedRegister;
            }
            else if (IsInMemory(guest))
            {
                ref int scratch = ref scratchOf[guest - Gpr.R9];
                if (scratch < 0)
                {
                    scratch = TakeScratch(free[..freeCount], guest);
                    bool isReplaced = IsReplaced(decoded.Instruction, access, guest);
                    if (scratch < 0)
                    {
                        // Three operands in memory: another register serves for the length of the instruction.
                        parkedRegister = PickParked(decoded.Instruction);
                        scratch = parkedRegister;
                        _asm.StoreState(StateLayout.Park1, scratch);
                        _asm.LoadState(scratch, StateLayout.Register(guest));
                    }
                    else
                    {
                        if (!isReplaced)
                        {
                            LoadHome(scratch, guest);
                        }

                        Hold(scratch, guest);
                    }

                    if (scratch == Gpr.T1)
                    {
                        _deltaInT1 = NoDelta;
                    }
                }

                host = scratch;
            }

            SetRegister(ref patched, i, Renumber(register, host));
        }

        if (hasMemory)
        {
            if (highByte)
            {
                // ah … dh exclude a REX prefix, so the address goes to a register that needs none.
                parkedRegister = PickParked(decoded.Instruction);
                _asm.StoreState(StateLayout.Park1, parkedRegister);
                _asm.Memory(0x8D, parkedRegister, memory.Base, memory.Index, 1, memory.Displacement, wide: true);
                memory = new HostOperand(parkedRegister, -1, 0);
            }

            SetMemory(ref patched, memory);
        }

        int start = _asm.Position;
        Encode(patched);
        if (access.MayFault || hasMemory)
        {
            RecordFaultPoint(start, decoded.Instruction, parkedRegister);
        }

        for (int i = 0; i < decoded.Instruction.OpCount; i++)
        {
            if ((access.Written & (1 << i)) != 0 && decoded.Instruction.GetOpKind(i) == OpKind.Register)
            {
                Register register = decoded.Instruction.GetOpRegister(i);
                if (highByte && IsSpecial(register))
                {
                    _asm.MoveRegister(Gpr.GuestRsp, parkedRegister);
                }
                else if (IsSpecial(register) && IsInMemory(GuestNumber(register)))
                {
                    int guest = GuestNumber(register);
                    int scratch = scratchOf[guest - Gpr.R9];
                    _asm.StoreState(StateLayout.Register(guest), scratch);
                    if (scratch == parkedRegister)
                    {
                        HoldNothing();
                    }
                    else
                    {
                        HoldOnly(scratch, guest);
                    }
                }
            }
        }

        if (parkedRegister != 255)
        {
            _asm.LoadState(parkedRegister, StateLayout.Park1);
        }
    }

    // Out of line: the operation on the bounced copy. Reached instead of the resume point when managed code says so.
    private void EmitBounced(in BouncedOperation bounced)
    {
        _flagsParked = bounced.FlagsParked;
        HoldNothing();
        EmitOperation(bounced.Decoded, bounced.Access, new HostOperand(Gpr.T0, -1, 0), hasMemory: true, bounced.HighByte);
        _asm.Call(_stubs.Callback(CallbackKind.BounceFinish));
        _asm.Jump(bounced.Resume);
    }

    private readonly record struct BouncedOperation(
        DecodedInstruction Decoded, OperandAccess Access, bool HighByte, bool FlagsParked, int Resume);

    // Whether an instruction does not need what a register held before: none of its operands reads it.
    private static bool IsReplaced(in Instruction instruction, in OperandAccess access, int guest)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            Register register = instruction.GetOpKind(i) == OpKind.Register ? instruction.GetOpRegister(i) : Register.None;
            if (register.IsGPR() && GuestNumber(register) == guest && ((access.Replaced & (1 << i)) == 0 || register.GetSize() < 4))
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsSpecial(Register register) => register.IsGPR() && GuestNumber(register) is Gpr.Rsp or Gpr.R9 or Gpr.R10 or Gpr.R11;

    // A register that is no operand, explicit or implied, of instructions that can come here.
    private static byte PickParked(in Instruction instruction)
    {
        foreach (int candidate in (ReadOnlySpan<int>)[Gpr.Rbp, Gpr.Rsi, Gpr.Rdi])
        {
            bool used = false;
            for (int i = 0; i < instruction.OpCount; i++)
            {
                used |= instruction.GetOpKind(i) == OpKind.Register && instruction.GetOpRegister(i).IsGPR()
                    && GuestNumber(instruction.GetOpRegister(i)) == candidate;
            }

            if (!used)
            {
                return (byte)candidate;
            }
        }

        throw new InvalidOperationException("No register left to park.");
    }

    private void UnparkFor(in OperandAccess access, int scratch)
    {
        if (access.TouchesFlags)
        {
            Unpark(scratch);
        }
    }

    private void CopyBytes(in DecodedInstruction decoded)
    {
        int length = decoded.Instruction.Length;
        int inFirst = Math.Min(length, _guestBytesFirstLength - decoded.Offset);
        _asm.Bytes(new ReadOnlySpan<byte>(_guestBytes + decoded.Offset, inFirst));
        if (inFirst < length)
        {
            _asm.Bytes(new ReadOnlySpan<byte>(_guestBytesSecond, length - inFirst));
        }
    }

    private void Encode(in Instruction instruction)
    {
        _encoded.Clear();
        if (!_encoder.TryEncode(instruction, 0, out _, out string? error))
        {
            throw new InvalidOperationException($"{instruction}: {error}");
        }

        _asm.Bytes(_encoded.Bytes);
    }

    private static void SetMemory(ref Instruction instruction, HostOperand memory)
    {
        instruction.SegmentPrefix = Register.None;
        instruction.MemoryBase = Register.RAX + memory.Base;
        instruction.MemoryIndex = memory.Index < 0 ? Register.None : Register.RAX + memory.Index;
        instruction.MemoryIndexScale = 1;
        instruction.MemoryDisplacement64 = (ulong)(long)memory.Displacement;
        instruction.MemoryDisplSize = memory.Displacement == 0 ? 0 : memory.Displacement == (sbyte)memory.Displacement ? 1 : 8;
    }

    private static void ReplaceCode(ref Instruction instruction)
    {
        instruction.Code = instruction.Code switch
        {
            Code.Mov_AL_moffs8 => Code.Mov_r8_rm8,
            Code.Mov_AX_moffs16 => Code.Mov_r16_rm16,
            Code.Mov_EAX_moffs32 => Code.Mov_r32_rm32,
            Code.Mov_RAX_moffs64 => Code.Mov_r64_rm64,
            Code.Mov_moffs8_AL => Code.Mov_rm8_r8,
            Code.Mov_moffs16_AX => Code.Mov_rm16_r16,
            Code.Mov_moffs32_EAX => Code.Mov_rm32_r32,
            Code.Mov_moffs64_RAX => Code.Mov_rm64_r64,

            // AMD's processors read four bytes for it, which may lie outside the page.
            Code.Movsxd_r16_rm16 => Code.Mov_r16_rm16,
            _ => instruction.Code,
        };
    }

    private static void SetRegister(ref Instruction instruction, int operand, Register register)
    {
        switch (operand)
        {
            case 0:
                instruction.Op0Register = register;
                break;
            case 1:
                instruction.Op1Register = register;
                break;
            case 2:
                instruction.Op2Register = register;
                break;
            default:
                instruction.Op3Register = register;
                break;
        }
    }

    private static Register Renumber(Register register, int number) => register.GetSize() switch
    {
        8 => Register.RAX + number,
        4 => Register.EAX + number,
        2 => Register.AX + number,
        _ => number < 4 ? Register.AL + number : Register.SPL + (number - 4),
    };

    private OperandAccess GetAccess(in Instruction instruction)
    {
        ref OperandAccess access = ref _access[(int)instruction.Code];
        if (!access.Known)
        {
            InstructionInfo info = _infos.GetInfo(instruction);
            for (int i = 0; i < instruction.OpCount; i++)
            {
                bool written = info.GetOpAccess(i) is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite;
                if (written)
                {
                    access.Written |= (byte)(1 << i);
                }

                // The answer is kept for all registers, but these only replace one if it is both their operands.
                if (info.GetOpAccess(i) == OpAccess.Write && instruction.Mnemonic is not (Mnemonic.Xor or Mnemonic.Sub or Mnemonic.Sbb))
                {
                    access.Replaced |= (byte)(1 << i);
                }
            }

            access.TouchesFlags = ((instruction.RflagsRead | instruction.RflagsModified) & FlagLiveness.Arithmetic) != 0 || IsShift(instruction.Mnemonic);
            access.MayFault = instruction.Mnemonic is Mnemonic.Div or Mnemonic.Idiv or Mnemonic.Wait || !instruction.CpuidFeatures.All(IsPlain);
            access.Known = true;
        }

        return access;
    }

    // Iced gives a shift by a constant zero no flags, and the answer is kept for all constants.
    private static bool IsShift(Mnemonic mnemonic) => mnemonic is Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Rol or Mnemonic.Ror
        or Mnemonic.Rcl or Mnemonic.Rcr or Mnemonic.Shld or Mnemonic.Shrd;

    private static bool IsPlain(CpuidFeature feature) => feature is CpuidFeature.INTEL8086 or CpuidFeature.INTEL186 or CpuidFeature.INTEL286
        or CpuidFeature.INTEL386 or CpuidFeature.INTEL486 or CpuidFeature.X64 or CpuidFeature.CMOV or CpuidFeature.BMI1 or CpuidFeature.BMI2;
}
