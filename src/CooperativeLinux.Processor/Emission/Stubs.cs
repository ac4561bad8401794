using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Emission;

/// <summary>
/// The fixed code at the start of each code cache: entry and exit thunks, the callback stubs, indirect-branch dispatch.
/// </summary>
internal sealed unsafe partial class Stubs
{
    /// <summary>Room for host calls that mirror guest calls, in bytes of the thread's stack.</summary>
    public const int PairStackBytes = 1 << PairStackBits;

    public const int PairStackBits = 18;

    /// <summary>Length of a jmp rel32, which some stubs skip on return.</summary>
    public const int JumpBytes = 5;

    private const int VectorRegisters = 16;

    /// <summary>Largest operand over a page border that is copied here; as much from either page.</summary>
    private const int LargestCopied = 64;

    // Second-TLB stubs: for accesses of 1, 2, 4 … 512 bytes.
    private const int AccessSizes = 10;
    private static readonly int[] s_memoryHomed = [Gpr.R9, Gpr.R10, Gpr.R11];

    private readonly Assembler _asm;
    private readonly bool _windows;
    private readonly int[] _access = new int[4 * AccessSizes];
    private readonly int[] _groupAccess = new int[4 * AccessSizes];
    private readonly int[] _inlineAccess = new int[4 * AccessSizes];
    private readonly int[] _inlineGroupAccess = new int[4 * AccessSizes];
    private readonly int[] _stackWindows = new int[2];
    private readonly int[] _callbacks = new int[(int)CallbackKind.Count];

    public Stubs(Assembler assembler, bool windows)
    {
        _asm = assembler;
        _windows = windows;
        EmitExit();
        EmitReload();
        for (int kind = 0; kind < _callbacks.Length; kind++)
        {
            _callbacks[kind] = EmitCallback(kind);
        }

        for (int array = 0; array < 4; array++)
        {
            for (int size = 0; size < AccessSizes; size++)
            {
                int index = (array * AccessSizes) + size;
                bool copies = size > 0 && 1 << size <= LargestCopied && (TlbArray)array is TlbArray.KernelRead or TlbArray.UserRead;
                _access[index] = EmitAccess(array, 1 << size, inline: false, copies);
                _groupAccess[index] = copies ? EmitAccess(array, 1 << size, inline: false, copies: false) : _access[index];
                if ((TlbArray)array is TlbArray.UserRead or TlbArray.UserWrite)
                {
                    _inlineAccess[index] = EmitAccess(array, 1 << size, inline: true, copies);
                    _inlineGroupAccess[index] = copies ? EmitAccess(array, 1 << size, inline: true, copies: false) : _inlineAccess[index];
                }
            }
        }

        _stackWindows[0] = EmitStackWindow(StateLayout.KernelStackNegative, StateLayout.KernelStackDelta, TlbArray.KernelWrite);
        _stackWindows[1] = EmitStackWindow(StateLayout.UserStackNegative, StateLayout.UserStackDelta, TlbArray.UserWrite);
        EmitStrings();
        EmitReturnMiss();
        EmitDispatch();
        EmitEnter();
        EmitFpuSave();
        EmitFpuRestore();
        End = assembler.Position;
    }

    /// <summary>Unmanaged function: void (hostTarget).</summary>
    public int Enter { get; private set; }

    /// <summary>Leaves to the caller of <see cref="Enter"/>.</summary>
    public int Exit { get; private set; }

    /// <summary>Reached by a guest return without matching host call; T0 = guest target, flags are parked.</summary>
    public int ReturnMiss { get; private set; }

    /// <summary>Jumps to the code for the guest address in T0; flags are parked.</summary>
    public int Dispatch { get; private set; }

    /// <summary>Reached when the branch table does not know <see cref="EngineState.BranchTarget"/>.</summary>
    public int BranchMiss { get; private set; }

    /// <summary>Unmanaged functions: void (void* image): fxsave64 to 512 bytes, frstor from 108 bytes, of the live x87 state.</summary>
    public int FpuSave { get; private set; }

    public int FpuRestore { get; private set; }

    /// <summary>First byte behind the stubs.</summary>
    public int End { get; }

    private int Reload { get; set; }

    /// <summary>Offset of a callback stub. Kinds up to Interpret are called, the others jumped to.</summary>
    public int Callback(CallbackKind kind) => _callbacks[(int)kind];

    /// <summary>Offset of the stub that serves a TLB miss: called with the address in T0, the missed entry in T1, the site in Argument and
    /// no flags worth keeping; returns the distance to the host address in T1. Of the bytes of a group, no copy is made where they cross a page.</summary>
    public int Access(TlbArray array, int size, bool group) => Access(group ? _groupAccess : _access, array, size);

    /// <summary>Offset of the same for an entry of the inline TLB: its page address is where T1 points to. User arrays only.</summary>
    public int InlineAccess(TlbArray array, int size, bool group) => Access(group ? _inlineGroupAccess : _inlineAccess, array, size);

    private int Access(int[] stubs, TlbArray array, int size)
    {
        int log = System.Numerics.BitOperations.Log2(System.Numerics.BitOperations.RoundUpToPowerOf2((uint)size));
        return log < AccessSizes ? stubs[((int)array * AccessSizes) + log] : Callback(CallbackKind.Access);
    }

    /// <summary>Offset of the stub that moves the stack window: called with an offset in the window in T0, 4096 - length of what is to
    /// be accessed from there in T1, the site in Argument and no flags worth keeping. It returns with the window moved, or 5 bytes
    /// further on where the bytes do not lie in one page.</summary>
    public int StackWindow(bool user) => _stackWindows[user ? 1 : 0];

    private int FirstArgument => _windows ? Gpr.Rcx : Gpr.Rdi;

    // push rbx rbp r12-r15 (rdi rsi, xmm6-15) ; HostRsp := rsp ; build the pair stack ; load the guest ; jmp target
    private void EmitEnter()
    {
        Enter = _asm.Position;
        foreach (int register in Saved())
        {
            Push(register);
        }

        _asm.AluImmediate(Alu.Sub, Gpr.Rsp, 168);
        if (_windows)
        {
            for (int i = 6; i < 16; i++)
            {
                MoveXmm(store: true, i, (i - 6) * 16);
            }
        }

        _asm.StoreState(StateLayout.HostRsp, Gpr.Rsp);
        _asm.StoreState(StateLayout.ResumeTarget, FirstArgument);
        _asm.AluImmediate(Alu.And, Gpr.Rsp, -PairStackBytes);
        LeaCode(Gpr.Rax, ReturnMiss);
        Push(Gpr.Rax);
        _asm.StoreState(StateLayout.PairBase, Gpr.Rsp);
        _asm.StoreState(StateLayout.ResumeRsp, Gpr.Rsp);

        // The first block polls, and managed code sets the limit then.
        _asm.MoveImmediate(Gpr.Rax, ulong.MaxValue);
        _asm.StoreState(StateLayout.Limit, Gpr.Rax);
        _asm.StoreStateImmediate32(StateLayout.PollClear, 0);
        _asm.Jump(Reload);
    }

    private void EmitExit()
    {
        Exit = _asm.Position;
        LdMxcsr(StateLayout.DefaultMxcsr);
        _asm.Bytes([0xC5, 0xF8, 0x77]); // vzeroupper
        _asm.LoadState(Gpr.Rsp, StateLayout.HostRsp);
        if (_windows)
        {
            for (int i = 6; i < 16; i++)
            {
                MoveXmm(store: false, i, (i - 6) * 16);
            }
        }

        _asm.AluImmediate(Alu.Add, Gpr.Rsp, 168);
        int[] saved = Saved();
        for (int i = saved.Length - 1; i >= 0; i--)
        {
            Pop(saved[i]);
        }

        _asm.Return();
    }

    // Everything from the state, then jmp [ResumeTarget] with rsp = [ResumeRsp].
    private void EmitReload()
    {
        Reload = _asm.Position;
        EmitLoadGuest();
        _asm.LoadState(Gpr.Rsp, StateLayout.ResumeRsp);
        _asm.JumpState(StateLayout.ResumeTarget);
    }

    private int EmitCallback(int kind)
    {
        int start = _asm.Position;
        EmitSpillGuest();
        _asm.StoreState(StateLayout.ResumeRsp, Gpr.Rsp);
        _asm.LoadState(FirstArgument, StateLayout.Handle);
        _asm.AluImmediate(Alu.And, Gpr.Rsp, -64);
        _asm.AluImmediate(Alu.Sub, Gpr.Rsp, 64);
        _asm.CallState(StateLayout.Callbacks + (kind * 8));
        _asm.RegisterForm(0x85, Gpr.Rax, Gpr.Rax, wide: true); // test rax,rax
        int toReturn = _asm.JumpIf(Condition.Equal, _asm.Position);
        _asm.StoreState(StateLayout.ResumeTarget, Gpr.Rax);
        _asm.Jump(Reload);

        _asm.PatchRelative(toReturn, _asm.Position);
        EmitLoadGuest();
        _asm.LoadState(Gpr.Rsp, StateLayout.ResumeRsp);
        _asm.Return();
        return start;
    }

    private void EmitSpillGuest()
    {
        _asm.StoreState(StateLayout.Register(Gpr.Rax), Gpr.Rax);
        _asm.StoreState(StateLayout.Register(Gpr.Rcx), Gpr.Rcx);
        _asm.FlagsToRax();
        _asm.RegisterForm(0x0FB6, Gpr.Rcx, Gpr.Rax, wide: false); // movzx ecx,al
        _asm.Shift(4, Gpr.Rcx, 11, wide: false);
        _asm.Bytes([0x0F, 0xB6, 0xC4]); // movzx eax,ah
        _asm.AluImmediate(Alu.And, Gpr.Rax, 0xD5, wide: false);
        _asm.RegisterForm(0x0B, Gpr.Rax, Gpr.Rcx, wide: false); // or eax,ecx
        _asm.StoreState(StateLayout.ArithmeticFlags, Gpr.Rax);
        _asm.StoreState(StateLayout.Register(Gpr.Rsp), Gpr.GuestRsp);
        _asm.StoreState(StateLayout.Scratch0, Gpr.T0);
        foreach (int register in MappedRegisters())
        {
            if (register is not (Gpr.Rax or Gpr.Rcx))
            {
                _asm.StoreState(StateLayout.Register(register), register);
            }
        }

        for (int i = 0; i < VectorRegisters; i++)
        {
            Ymm(0x7F, i);
        }

        _asm.State(0x0FAE, 3, StateLayout.Mxcsr, wide: false); // stmxcsr
        LdMxcsr(StateLayout.DefaultMxcsr);
        _asm.Bytes([0xC5, 0xF8, 0x77]); // vzeroupper
    }

    private void EmitLoadGuest()
    {
        for (int i = 0; i < VectorRegisters; i++)
        {
            Ymm(0x6F, i);
        }

        LdMxcsr(StateLayout.Mxcsr);
        _asm.LoadState(Gpr.Rax, StateLayout.ArithmeticFlags);
        _asm.MoveRegister32(Gpr.Rcx, Gpr.Rax);
        _asm.Bytes([0x88, 0xC4]); // mov ah,al
        _asm.Shift(5, Gpr.Rcx, 11, wide: false);
        _asm.Bytes([0x88, 0xC8]); // mov al,cl
        _asm.FlagsFromRax();
        _asm.LoadState(Gpr.GuestRsp, StateLayout.Register(Gpr.Rsp));
        _asm.LoadState(Gpr.T0, StateLayout.Scratch0);
        _asm.LoadState(Gpr.T1, StateLayout.Scratch1);
        foreach (int register in MappedRegisters())
        {
            _asm.LoadState(register, StateLayout.Register(register));
        }
    }

    // rax := page address of T0 | generation ; rcx := the entry of the second TLB that may hold it ; compare them
    private void EmitSecondLookup(TlbArray array)
    {
        _asm.MoveRegister(Gpr.Rcx, Gpr.T0);
        _asm.Shift(5, Gpr.Rcx, 12, wide: true);
        _asm.MoveRegister(Gpr.Rax, Gpr.Rcx);
        _asm.Shift(5, Gpr.Rax, SecondTlb.FoldShift, wide: true);
        _asm.RegisterForm(0x33, Gpr.Rcx, Gpr.Rax, wide: false); // xor ecx,eax
        _asm.AluImmediate(Alu.And, Gpr.Rcx, SecondTlb.Entries - 1, wide: false);
        _asm.Shift(4, Gpr.Rcx, 4, wide: false);
        _asm.AluState(Alu.Add, Gpr.Rcx, StateLayout.SecondTlbs + ((int)array * 8));
        _asm.MoveRegister(Gpr.Rax, Gpr.T0);
        _asm.AluImmediate(Alu.And, Gpr.Rax, -4096);
        _asm.RegisterForm(0x85, Gpr.T0, Gpr.T0, wide: true); // test r10,r10
        int kernelHalf = _asm.JumpIf(Condition.Sign, _asm.Position);
        _asm.AluState(Alu.Or, Gpr.Rax, StateLayout.Generation);
        int compare = _asm.Jump(_asm.Position);
        _asm.PatchRelative(kernelHalf, _asm.Position);
        _asm.AluState(Alu.Or, Gpr.Rax, StateLayout.KernelGeneration);
        _asm.PatchRelative(compare, _asm.Position);
        _asm.Memory(0x3B, Gpr.Rax, Gpr.Rcx, -1, 1, 0, wide: true); // cmp rax,[rcx]
    }

    private void EmitRestoreScratch()
    {
        _asm.LoadState(Gpr.Rax, StateLayout.Park0);
        _asm.LoadState(Gpr.Rcx, StateLayout.Park2);
    }

    // Moves the window to the page of what is to be accessed, if the second TLB knows it as writable.
    private int EmitStackWindow(int negative, int delta, TlbArray array)
    {
        int start = _asm.Position;
        _asm.StoreState(StateLayout.Park0, Gpr.Rax);
        _asm.StoreState(StateLayout.Park2, Gpr.Rcx);
        _asm.AluState(Alu.Sub, Gpr.T0, negative);
        _asm.MoveRegister32(Gpr.Rcx, Gpr.T0);
        _asm.AluImmediate(Alu.And, Gpr.Rcx, 0xFFF, wide: false);
        _asm.RegisterForm(0x3B, Gpr.Rcx, Gpr.T1, wide: false); // cmp ecx,r11d
        int crossing = _asm.JumpIf(Condition.Above, _asm.Position);
        EmitSecondLookup(array);
        int miss = _asm.JumpIf(Condition.NotEqual, _asm.Position);
        _asm.Load(Gpr.Rcx, Gpr.Rcx, 8);
        _asm.AluImmediate(Alu.And, Gpr.Rax, -4096);
        _asm.RegisterForm(0x2B, Gpr.Rcx, Gpr.Rax, wide: true);
        _asm.StoreState(delta, Gpr.Rcx);
        _asm.Bytes([0x48, 0xF7, 0xD8]); // neg rax
        _asm.StoreState(negative, Gpr.Rax);
        _asm.RegisterForm(0x03, Gpr.T0, Gpr.Rax, wide: true);
        EmitRestoreScratch();
        _asm.Return();

        _asm.PatchRelative(crossing, _asm.Position);
        EmitRestoreScratch();
        _asm.Memory(0x83, (int)Alu.Add, Gpr.Rsp, -1, 1, 0, wide: true); // add qword [rsp],5
        _asm.Byte(JumpBytes);
        _asm.Return();

        _asm.PatchRelative(miss, _asm.Position);
        EmitRestoreScratch();
        _asm.AluState(Alu.Add, Gpr.T0, negative);
        _asm.Jump(Callback(CallbackKind.StackWindow));
        return start;
    }

    // Looks into the second TLB, and asks managed code if it does not know either, or if the operand crosses a page.
    private int EmitAccess(int array, int size, bool inline, bool copies)
    {
        List<int> slow = [];
        int start = _asm.Position;
        _asm.StoreState(StateLayout.Park0, Gpr.Rax);
        _asm.StoreState(StateLayout.Park2, Gpr.Rcx);
        _asm.MoveRegister32(Gpr.Rcx, Gpr.T0);
        _asm.AluImmediate(Alu.And, Gpr.Rcx, 0xFFF, wide: false);
        _asm.AluImmediate(Alu.Cmp, Gpr.Rcx, 4096 - size, wide: false);
        int crossing = _asm.JumpIf(Condition.Above, _asm.Position);
        EmitSecondLookup((TlbArray)array);
        slow.Add(_asm.JumpIf(Condition.NotEqual, _asm.Position));
        _asm.Load(Gpr.Rcx, Gpr.Rcx, 8);
        _asm.AluImmediate(Alu.And, Gpr.Rax, -4096);
        _asm.Store(Gpr.T1, 0, Gpr.Rax);
        _asm.RegisterForm(0x2B, Gpr.Rcx, Gpr.Rax, wide: true);
        _asm.Store(Gpr.T1, inline ? InlineTlb.ArrayBytes : 8, Gpr.Rcx);
        if (inline)
        {
            _asm.Memory(0xFF, 0, Gpr.T1, -1, 1, 2 * InlineTlb.ArrayBytes, wide: true); // inc
        }

        _asm.MoveRegister(Gpr.T1, Gpr.Rcx);
        EmitRestoreScratch();
        _asm.Return();

        _asm.PatchRelative(crossing, _asm.Position);
        if (copies)
        {
            EmitBorderCopy((TlbArray)array, size, slow);
        }

        foreach (int jump in slow)
        {
            _asm.PatchRelative(jump, _asm.Position);
        }

        EmitRestoreScratch();
        _asm.Jump(Callback(CallbackKind.Access));
        return start;
    }

    // An operand over a page border that is only read: T1 := distance to a copy of what is around the border, if the second TLB knows both
    // pages.
    private void EmitBorderCopy(TlbArray array, int size, List<int> slow)
    {
        EmitSecondLookup(array);
        slow.Add(_asm.JumpIf(Condition.NotEqual, _asm.Position));
        _asm.Load(Gpr.T1, Gpr.Rcx, 8);
        _asm.Lea(Gpr.T0, Gpr.T0, size - 1);
        EmitSecondLookup(array);
        _asm.Lea(Gpr.T0, Gpr.T0, 1 - size);
        slow.Add(_asm.JumpIf(Condition.NotEqual, _asm.Position));
        _asm.Load(Gpr.Rcx, Gpr.Rcx, 8);
        for (int offset = 0; offset < LargestCopied; offset += sizeof(ulong))
        {
            _asm.Load(Gpr.Rax, Gpr.T1, PageBytes - LargestCopied + offset);
            _asm.StoreState(StateLayout.Bounce + offset, Gpr.Rax);
            _asm.Load(Gpr.Rax, Gpr.Rcx, offset);
            _asm.StoreState(StateLayout.Bounce + LargestCopied + offset, Gpr.Rax);
        }

        // The copy keeps the operand's alignment, since the buffer has that of the largest.
        _asm.MoveRegister(Gpr.Rcx, Gpr.T0);
        _asm.AluImmediate(Alu.And, Gpr.Rcx, -PageBytes);
        _asm.State(0x8D, Gpr.T1, StateLayout.Bounce); // lea t1,[bounce]
        _asm.AluImmediate(Alu.Sub, Gpr.T1, PageBytes - LargestCopied);
        _asm.RegisterForm(0x2B, Gpr.T1, Gpr.Rcx, wide: true);
        EmitRestoreScratch();
        _asm.Return();
    }

    // T0 = guest target. The pair stack is emptied; its base entry is still there.
    private void EmitReturnMiss()
    {
        ReturnMiss = _asm.Position;
        _asm.LoadState(Gpr.Rsp, StateLayout.PairBase);
        // falls into Dispatch
    }

    /// <summary>Emits the dispatch of an indirect branch in place, so that the host predicts each branch by itself: T0 is the guest
    /// address, flags are parked.</summary>
    public static void EmitBranch(Assembler asm)
    {
        asm.StoreState(StateLayout.BranchTarget, Gpr.T0);
        asm.MoveRegister32(Gpr.T1, Gpr.T0);
        asm.Shift(5, Gpr.T1, BranchTable.IndexBits, wide: false);
        asm.RegisterForm(0x33, Gpr.T1, Gpr.T0, wide: false); // xor r11d,r10d
        asm.AluImmediate(Alu.And, Gpr.T1, BranchTable.Entries - 1, wide: false);
        asm.LoadState(Gpr.T0, StateLayout.BranchTable);
        asm.Memory(0xFF, 4, Gpr.T0, Gpr.T1, 8, 0, wide: false);
    }

    private void EmitDispatch()
    {
        Dispatch = _asm.Position;
        EmitBranch(_asm);

        BranchMiss = _asm.Position;
        _asm.LoadState(Gpr.T0, StateLayout.BranchTarget);
        _asm.Jump(Callback(CallbackKind.Dispatch));
    }

    private void EmitFpuSave()
    {
        FpuSave = _asm.Position;
        _asm.Bytes(_windows ? [0x48, 0x0F, 0xAE, 0x01] : [0x48, 0x0F, 0xAE, 0x07]); // fxsave64 [arg]
        _asm.Return();
    }

    private void EmitFpuRestore()
    {
        FpuRestore = _asm.Position;
        _asm.Bytes([0xDB, 0xE3]); // fninit: frstor would deliver a pending exception
        _asm.Bytes(_windows ? [0xDD, 0x21] : [0xDD, 0x27]); // frstor [arg]
        _asm.Return();
    }

    private static IEnumerable<int> MappedRegisters()
    {
        for (int register = 0; register < 16; register++)
        {
            if (register != Gpr.Rsp && Array.IndexOf(s_memoryHomed, register) < 0)
            {
                yield return register;
            }
        }
    }

    private int[] Saved() => _windows
        ? [Gpr.Rbx, Gpr.Rbp, Gpr.R12, Gpr.R13, Gpr.R14, Gpr.R15, Gpr.Rdi, Gpr.Rsi]
        : [Gpr.Rbx, Gpr.Rbp, Gpr.R12, Gpr.R13, Gpr.R14, Gpr.R15];

    private void Push(int register)
    {
        if (register >= 8)
        {
            _asm.Byte(0x41);
        }

        _asm.Byte(0x50 | (register & 7));
    }

    private void Pop(int register)
    {
        if (register >= 8)
        {
            _asm.Byte(0x41);
        }

        _asm.Byte(0x58 | (register & 7));
    }

    private void LeaCode(int register, int offset)
    {
        _asm.Byte(0x48 | ((register & 8) >> 1));
        _asm.Byte(0x8D);
        _asm.Byte(((register & 7) << 3) | 5);
        _asm.Int32(offset - (_asm.Position + 4));
    }

    private void LdMxcsr(int stateOffset) => _asm.State(0x0FAE, 2, stateOffset, wide: false);

    private void MoveXmm(bool store, int xmm, int displacement)
    {
        // movups [rsp+disp32], xmm / reverse
        if (xmm >= 8)
        {
            _asm.Byte(0x44);
        }

        _asm.Bytes([0x0F, (byte)(store ? 0x11 : 0x10), (byte)(0x84 | ((xmm & 7) << 3)), 0x24]);
        _asm.Int32(displacement);
    }

    // vmovdqa ymm, [state] (6F) or the reverse (7F)
    private void Ymm(int opcode, int ymm)
    {
        _asm.Byte(0xC5);
        _asm.Byte((ymm >= 8 ? 0 : 0x80) | 0x7D);
        _asm.Byte(opcode);
        _asm.Byte(((ymm & 7) << 3) | 5);
        _asm.Displacement(StateLayout.Vectors + (ymm * 32));
    }
}
