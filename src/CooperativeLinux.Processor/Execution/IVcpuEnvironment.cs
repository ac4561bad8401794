using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

/// <summary>An exception the processor found while running the guest.</summary>
/// <param name="Vector">x86 vector, 0 to 31.</param>
/// <param name="ErrorCode">Pushed error code; meaningful for the vectors that have one.</param>
/// <param name="Address">Faulting virtual address of a page fault.</param>
public readonly record struct GuestException(byte Vector, uint ErrorCode = 0, ulong Address = 0)
{
    public const byte DivideError = 0, Debug = 1, Breakpoint = 3, Overflow = 4, InvalidOpcode = 6, DeviceNotAvailable = 7,
        InvalidTss = 10, SegmentNotPresent = 11, StackFault = 12, GeneralProtection = 13, PageFault = 14,
        FloatingPoint = 16, AlignmentCheck = 17, SimdFloatingPoint = 19;
}

/// <summary>
/// What surrounds a processor: the monitor. All members are called on the vCPU's own thread, between guest
/// instructions, with the whole architectural state in <see cref="Vcpu.State"/>; they may change that state (registers,
/// rip, mode, page-table roots), and execution goes on from there. They may block (an idle vCPU sleeps inside
/// <see cref="OnSyscall"/>). To leave <see cref="Vcpu.Run"/>, call <see cref="Vcpu.RequestStop"/>.
/// </summary>
public interface IVcpuEnvironment
{
    /// <summary>`syscall` was executed; rip is already after it, rcx and r11 are still the guest's. In kernel
    /// mode this is a hypercall, in user mode a system call of the guest.</summary>
    void OnSyscall(Vcpu cpu);

    /// <summary>An exception, with the state as the faulting instruction found it (traps such as int3: rip after it).</summary>
    void OnException(Vcpu cpu, in GuestException exception);

    /// <summary>A system instruction the processor does not carry out itself; rip is at the instruction. The handler
    /// carries it out and advances rip by <see cref="Instruction.Length"/>, or raises through <see cref="OnException"/>.
    /// cpuid, rdmsr, wrmsr, in, out, ins, outs, hlt, cli, sti, mov to and from cr/dr, lgdt, lidt, lldt, ltr, sgdt, sidt, sldt,
    /// str, smsw, lmsw, clts, lar, lsl, verr, verw, invlpg, invd, wbinvd, rdpmc, rdtscp, rdtsc if asked for, rdpid, xgetbv, xsetbv, swapgs, sysret,
    /// sysenter, sysexit, iret, far calls/jumps/returns, moves to and from segment registers, int n, int1,
    /// rd/wr fs/gs base, and ud2 (the processor handles int3 and unknown opcodes as exceptions by itself).</summary>
    void OnInstruction(Vcpu cpu, in Instruction instruction);

    /// <summary>The guest executes an instruction outside the offered set, the first time for each name on this vCPU; the
    /// exception follows.</summary>
    /// <param name="cpu">The vCPU.</param>
    /// <param name="name">Its mnemonic, or <see cref="Vcpu.NoInstruction"/>.</param>
    void OnUndefined(Vcpu cpu, string name)
    {
    }

    /// <summary>After <see cref="Vcpu.RequestPoll"/>: a point between two guest instructions where events may be
    /// delivered. Also called after every <see cref="OnSyscall"/> has returned is not guaranteed: the handler of a hypercall
    /// checks for events itself.</summary>
    void OnPoll(Vcpu cpu);

    /// <summary>Resolves an access to the region the monitor reserves in every address space (the machine-to-physical
    /// table). Returns the host address of a 4096-byte readable page, or null to let the page fault be
    /// delivered. <paramref name="address"/> is page aligned.</summary>
    unsafe byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write);

    /// <summary>Whether the address belongs to the monitor's reserved region and so is not looked up in the
    /// guest's page tables.</summary>
    bool IsReserved(ulong address);
}
