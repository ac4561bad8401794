using System.Numerics;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;
using RflagsBits = CooperativeLinux.Processor.Execution.RflagsBits;

namespace CooperativeLinux.Processor.Emission;

// rep movs and rep stos within one page at either side, which is what kernels and libraries copy and clear with.
internal sealed unsafe partial class Stubs
{
    private const int ElementSizes = 4;
    private const int PageBytes = 4096;

    // movs, then stos; for kernel mode, then user mode; by the logarithm of the element's size.
    private readonly int[] _strings = new int[2 * 2 * ElementSizes];

    /// <summary>Offset of the stub for a repeated string instruction, or -1: it is interpreted. Called like the callback Interpret, to which
    /// it leaves what it cannot do, and with the same result.</summary>
    public int Repeated(in Instruction instruction, bool user)
    {
        if (!instruction.HasRepPrefix || instruction.SegmentPrefix is Register.FS or Register.GS)
        {
            return -1;
        }

        int size = instruction.Mnemonic switch
        {
            Mnemonic.Movsb or Mnemonic.Stosb => 1,
            Mnemonic.Movsw or Mnemonic.Stosw => 2,
            Mnemonic.Movsd or Mnemonic.Stosd => 4,
            Mnemonic.Movsq or Mnemonic.Stosq => 8,
            _ => 0,
        };
        bool wide = instruction.Op0Kind == OpKind.MemoryESRDI;
        return size == 0 || !wide ? -1 : StringStub(instruction.Op1Kind == OpKind.MemorySegRSI, user, BitOperations.Log2((uint)size));
    }

    private int StringStub(bool copies, bool user, int log) => _strings[StringIndex(copies, user, log)];

    private static int StringIndex(bool copies, bool user, int log) => ((((copies ? 0 : 1) * 2) + (user ? 1 : 0)) * ElementSizes) + log;

    private void EmitStrings()
    {
        foreach (bool copies in (ReadOnlySpan<bool>)[true, false])
        {
            foreach (bool user in (ReadOnlySpan<bool>)[false, true])
            {
                for (int log = 0; log < ElementSizes; log++)
                {
                    _strings[StringIndex(copies, user, log)] = EmitString(copies, user ? TlbArray.UserRead : TlbArray.KernelRead, log);
                }
            }
        }
    }

    // SANDBOX: T1 bytes from rdi, and from rsi, lie in one page each, which the second TLB has with the right to write, or to read.
    private int EmitString(bool copies, TlbArray read, int log)
    {
        int start = _asm.Position;
        _asm.ParkFlags();
        _asm.StoreState(StateLayout.Park0, Gpr.Rax);
        _asm.StoreState(StateLayout.Park2, Gpr.Rcx);
        List<int> slow = [];
        _asm.State(0xF7, 0, StateLayout.SystemFlags, wide: false, immediateBytes: 4); // test dword [flags],DF
        _asm.Int32((int)RflagsBits.Direction);
        slow.Add(_asm.JumpIf(Condition.NotEqual, _asm.Position));
        _asm.RegisterForm(0x85, Gpr.Rcx, Gpr.Rcx, wide: true); // test rcx,rcx
        slow.Add(_asm.JumpIf(Condition.Equal, _asm.Position));
        _asm.AluImmediate(Alu.Cmp, Gpr.Rcx, PageBytes >> log);
        slow.Add(_asm.JumpIf(Condition.Above, _asm.Position));
        _asm.MoveRegister(Gpr.T1, Gpr.Rcx);
        if (log > 0)
        {
            _asm.Shift(4, Gpr.T1, log, wide: true);
        }

        EmitResolve(Gpr.Rdi, read + 1, slow);
        _asm.StoreState(StateLayout.StringTarget, Gpr.Rax);
        if (copies)
        {
            EmitResolve(Gpr.Rsi, read, slow);
            _asm.StoreState(StateLayout.Park1, Gpr.Rsi);
            _asm.MoveRegister(Gpr.Rsi, Gpr.Rax);
        }

        _asm.LoadState(Gpr.Rax, StateLayout.Park0);
        _asm.LoadState(Gpr.Rcx, StateLayout.Park2);
        _asm.MoveRegister(Gpr.T0, Gpr.Rdi);
        _asm.LoadState(Gpr.Rdi, StateLayout.StringTarget);
        EmitRepeated(copies, log);
        _asm.Memory(0x8D, Gpr.Rdi, Gpr.T0, Gpr.T1, 1, 0, wide: true);
        if (copies)
        {
            _asm.LoadState(Gpr.Rsi, StateLayout.Park1);
            _asm.Memory(0x8D, Gpr.Rsi, Gpr.Rsi, Gpr.T1, 1, 0, wide: true);
        }

        _asm.UnparkFlags();
        _asm.Return();

        foreach (int jump in slow)
        {
            _asm.PatchRelative(jump, _asm.Position);
        }

        EmitRestoreScratch();
        _asm.UnparkFlags();
        _asm.Jump(Callback(CallbackKind.Interpret));
        return start;
    }

    // rax := host address of the T1 bytes that a register points to, if they lie in one page of the second TLB. rcx and T0 are lost.
    private void EmitResolve(int register, TlbArray array, List<int> slow)
    {
        _asm.MoveRegister(Gpr.T0, register);
        _asm.MoveRegister32(Gpr.Rcx, Gpr.T0);
        _asm.AluImmediate(Alu.And, Gpr.Rcx, PageBytes - 1, wide: false);
        _asm.RegisterForm(0x03, Gpr.Rcx, Gpr.T1, wide: false); // add ecx,r11d
        _asm.AluImmediate(Alu.Cmp, Gpr.Rcx, PageBytes, wide: false);
        slow.Add(_asm.JumpIf(Condition.Above, _asm.Position));
        EmitSecondLookup(array);
        slow.Add(_asm.JumpIf(Condition.NotEqual, _asm.Position));
        _asm.Load(Gpr.Rcx, Gpr.Rcx, 8);
        _asm.MoveRegister32(Gpr.Rax, Gpr.T0);
        _asm.AluImmediate(Alu.And, Gpr.Rax, PageBytes - 1, wide: false);
        _asm.RegisterForm(0x03, Gpr.Rax, Gpr.Rcx, wide: true);
    }

    private void EmitRepeated(bool copies, int log)
    {
        if (log == 1)
        {
            _asm.Byte(0x66);
        }

        _asm.Byte(0xF3);
        if (log == 3)
        {
            _asm.Byte(0x48);
        }

        _asm.Byte((copies ? 0xA4 : 0xAA) | (log > 0 ? 1 : 0));
    }
}
