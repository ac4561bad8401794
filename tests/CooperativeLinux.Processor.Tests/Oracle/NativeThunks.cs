using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>
/// Emits the machine code around a native run: entry (loads the whole state and goes to the code), exit (stores it and returns to C#), and the
/// signal handler (records what the processor reported and continues at exit).
/// </summary>
internal static class NativeThunks
{
    // gregs of the x86-64 ucontext_t (Linux uapi asm/sigcontext.h), as 8-byte indices from its offset 40.
    private const int ContextOffset = 40, ContextRsp = 15, ContextRip = 16, ContextFlags = 17, ContextError = 19, ContextTrap = 20, ContextCr2 = 22;

    /// <summary>Index in the ucontext of the general registers in encoding order.</summary>
    private static readonly int[] ContextRegisters = [13, 14, 12, 11, ContextRsp, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];

    private static readonly AssemblerRegister64[] Registers = [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];

    private static readonly AssemblerRegister64[] CalleeSaved = [rbx, rbp, r12, r13, r14, r15];

    private static readonly AssemblerRegisterYMM[] Vectors =
        [ymm0, ymm1, ymm2, ymm3, ymm4, ymm5, ymm6, ymm7, ymm8, ymm9, ymm10, ymm11, ymm12, ymm13, ymm14, ymm15];

    /// <summary>Addresses of the emitted routines.</summary>
    public readonly record struct Addresses(ulong Enter, ulong Exit, ulong Handler);

    /// <summary>Emits all routines.</summary>
    /// <param name="control">Address of the <see cref="NativeControl"/>, below 2 GiB.</param>
    /// <param name="code">Where the code will be.</param>
    /// <param name="watchdogSignal">A signal that is ignored outside a run, not passed on.</param>
    /// <param name="addresses">Entry points.</param>
    public static byte[] Emit(ulong control, ulong code, int watchdogSignal, out Addresses addresses)
    {
        Assembler assembler = new(64);
        Emitter emitter = new(assembler, control);
        Label enter = assembler.CreateLabel(), exit = assembler.CreateLabel(), handler = assembler.CreateLabel();
        assembler.Label(ref enter);
        emitter.EmitEnter();
        assembler.Label(ref exit);
        emitter.EmitExit();
        assembler.Label(ref handler);
        emitter.EmitHandler(watchdogSignal);

        byte[] bytes = Assemble(assembler, code, out AssemblerResult result);
        addresses = new Addresses(result.GetLabelRIP(enter), result.GetLabelRIP(exit), result.GetLabelRIP(handler));
        return bytes;
    }

    /// <summary>Emits a routine that returns 1 in eax if rdfsbase works and 0 if it raises #UD, and the handler of that signal.</summary>
    /// <param name="code">Where the code will be.</param>
    /// <param name="addresses">Entry points; there is no exit.</param>
    public static byte[] EmitProbe(ulong code, out Addresses addresses)
    {
        Assembler c = new(64);
        Label enter = c.CreateLabel(), end = c.CreateLabel(), handler = c.CreateLabel();
        c.Label(ref enter);
        c.xor(eax, eax);
        c.rdfsbase(rcx);
        c.inc(eax);
        c.Label(ref end);
        c.ret();
        c.Label(ref handler);
        c.lea(rax, __[end]);
        c.mov(__qword_ptr[rdx + ContextOffset + (8 * ContextRip)], rax);
        c.ret();
        byte[] bytes = Assemble(c, code, out AssemblerResult result);
        addresses = new Addresses(result.GetLabelRIP(enter), 0, result.GetLabelRIP(handler));
        return bytes;
    }

    private static byte[] Assemble(Assembler assembler, ulong code, out AssemblerResult result)
    {
        using MemoryStream stream = new();
        result = assembler.Assemble(new StreamCodeWriter(stream), code, BlockEncoderOptions.ReturnNewInstructionOffsets);
        return stream.ToArray();
    }

    private static long Offset(string field) => Marshal.OffsetOf<NativeControl>(field);

    private sealed class Emitter(Assembler c, ulong control)
    {
        private AssemblerMemoryOperand Field(string name, int extra = 0) => __qword_ptr[(long)control + Offset(name) + extra];

        private AssemblerMemoryOperand Field32(string name) => __dword_ptr[(long)control + Offset(name)];

        /// <summary>iretq loads rip, rflags and rsp together, and makes the processor see code bytes that were just written through
        /// another mapping.</summary>
        public void EmitEnter()
        {
            foreach (AssemblerRegister64 register in CalleeSaved)
            {
                c.push(register);
            }

            c.rdfsbase(rax);
            c.mov(Field(nameof(NativeControl.HostFsBase)), rax);
            c.rdgsbase(rax);
            c.mov(Field(nameof(NativeControl.HostGsBase)), rax);
            c.mov(Field(nameof(NativeControl.HostRsp)), rsp);
            c.stmxcsr(Field32(nameof(NativeControl.HostMxcsr)));
            c.fxrstor64(__[(long)control + Offset(nameof(NativeControl.X87))]);
            for (int i = 0; i < Vectors.Length; i++)
            {
                c.vmovups(Vectors[i], __ymmword_ptr[(long)control + Offset(nameof(NativeControl.Vectors)) + (32 * i)]);
            }

            c.ldmxcsr(Field32(nameof(NativeControl.Mxcsr)));
            c.mov(rax, Field(nameof(NativeControl.FsBase)));
            c.wrfsbase(rax);
            c.mov(rax, Field(nameof(NativeControl.GsBase)));
            c.wrgsbase(rax);
            c.mov(eax, ss);
            c.push(rax);
            c.push(Field(nameof(NativeControl.Registers), 8 * 4));
            c.push(Field(nameof(NativeControl.Rflags)));
            c.mov(eax, cs);
            c.push(rax);
            c.push(Field(nameof(NativeControl.Rip)));
            for (int i = 0; i < Registers.Length; i++)
            {
                if (Registers[i] != rsp)
                {
                    c.mov(Registers[i], Field(nameof(NativeControl.Registers), 8 * i));
                }
            }

            c.iretq();
        }

        /// <summary>General registers and flags were stored by the handler already, which has also set rsp.</summary>
        public void EmitExit()
        {
            for (int i = 0; i < Vectors.Length; i++)
            {
                c.vmovups(__ymmword_ptr[(long)control + Offset(nameof(NativeControl.Vectors)) + (32 * i)], Vectors[i]);
            }

            c.stmxcsr(Field32(nameof(NativeControl.Mxcsr)));
            c.fxsave64(__[(long)control + Offset(nameof(NativeControl.X87))]);
            c.fninit();
            c.ldmxcsr(Field32(nameof(NativeControl.HostMxcsr)));
            c.vzeroupper();
            c.mov(rax, Field(nameof(NativeControl.HostFsBase)));
            c.wrfsbase(rax);
            c.mov(rax, Field(nameof(NativeControl.HostGsBase)));
            c.wrgsbase(rax);

            // A signal's return leaves NT and ID as they are; NT would make the next iretq fault.
            c.push((int)TestState.FixedFlags);
            c.popfq();
            foreach (AssemblerRegister64 register in CalleeSaved.Reverse())
            {
                c.pop(register);
            }

            c.ret();
        }

        /// <summary>Called by the kernel as handler(signal, siginfo, ucontext) on the signal stack.</summary>
        public void EmitHandler(int watchdogSignal)
        {
            Label notOurs = c.CreateLabel(), done = c.CreateLabel();
            c.cmp(Field(nameof(NativeControl.Active)), 0);
            c.je(notOurs);
            c.cmp(rsp, Field(nameof(NativeControl.SignalStackLow)));
            c.jb(notOurs);
            c.cmp(rsp, Field(nameof(NativeControl.SignalStackHigh)));
            c.jae(notOurs);

            c.mov(Field(nameof(NativeControl.Signal)), rdi);
            for (int i = 0; i < Registers.Length; i++)
            {
                Copy(ContextRegisters[i], nameof(NativeControl.Registers), 8 * i);
            }

            Copy(ContextRip, nameof(NativeControl.Rip));
            Copy(ContextFlags, nameof(NativeControl.Rflags));
            Copy(ContextError, nameof(NativeControl.ErrorCode));
            Copy(ContextTrap, nameof(NativeControl.TrapNumber));
            Copy(ContextCr2, nameof(NativeControl.FaultAddress));
            c.mov(Field(nameof(NativeControl.Active)), 0);
            c.mov(rax, Field(nameof(NativeControl.ExitAddress)));
            c.mov(__qword_ptr[rdx + ContextOffset + (8 * ContextRip)], rax);

            // Some kernels cannot return to an rsp that is not canonical.
            c.mov(rax, Field(nameof(NativeControl.HostRsp)));
            c.mov(__qword_ptr[rdx + ContextOffset + (8 * ContextRsp)], rax);
            c.mov(__qword_ptr[rdx + ContextOffset + (8 * ContextFlags)], (int)TestState.FixedFlags);
            c.ret();

            c.Label(ref notOurs);
            c.cmp(edi, watchdogSignal);
            c.je(done);
            c.lea(rax, __[(long)control + Offset(nameof(NativeControl.PreviousHandlers))]);
            c.mov(rax, __qword_ptr[rax + (rdi * 8)]);
            c.test(rax, rax);
            c.je(done);
            c.jmp(rax);
            c.Label(ref done);
            c.ret();
        }

        private void Copy(int contextIndex, string field, int extra = 0)
        {
            c.mov(rax, __qword_ptr[rdx + ContextOffset + (8 * contextIndex)]);
            c.mov(Field(field, extra), rax);
        }
    }
}
