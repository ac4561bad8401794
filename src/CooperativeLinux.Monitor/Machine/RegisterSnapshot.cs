using System.Globalization;
using System.Text;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>Registers of a vCPU at one moment, for reports.</summary>
public sealed class RegisterSnapshot
{
    private static readonly string[] Names =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"];

    private RegisterSnapshot(int vcpu, ulong[] registers)
    {
        Vcpu = vcpu;
        General = registers;
    }

    /// <summary>vCPU number.</summary>
    public int Vcpu { get; }

    /// <summary>rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.</summary>
    public IReadOnlyList<ulong> General { get; }

    /// <summary>Instruction pointer.</summary>
    public ulong Rip { get; private init; }

    /// <summary>The flags register.</summary>
    public ulong Rflags { get; private init; }

    /// <summary>Whether user code was running.</summary>
    public bool IsUserMode { get; private init; }

    /// <summary>Code segment selector.</summary>
    public ushort Cs { get; private init; }

    /// <summary>Stack segment selector.</summary>
    public ushort Ss { get; private init; }

    /// <summary>Base of fs.</summary>
    public ulong FsBase { get; private init; }

    /// <summary>Base of gs in the active mode.</summary>
    public ulong GsBase { get; private init; }

    /// <summary>Address of the last page fault that was delivered.</summary>
    public ulong Cr2 { get; private init; }

    /// <summary>Frame number of the kernel's top-level page table.</summary>
    public ulong KernelRoot { get; private init; }

    /// <summary>Frame number of the user's top-level page table, 0 if none.</summary>
    public ulong UserRoot { get; private init; }

    internal static unsafe RegisterSnapshot Take(VcpuContext vcpu)
    {
        VcpuState* state = vcpu.State;
        return new RegisterSnapshot(vcpu.Index, new ReadOnlySpan<ulong>(state->Registers, 16).ToArray())
        {
            Rip = state->Rip,
            Rflags = state->Rflags,
            IsUserMode = state->UserMode != 0,
            Cs = state->Selectors[Selector.Cs],
            Ss = state->Selectors[Selector.Ss],
            FsBase = state->FsBase,
            GsBase = state->GsBase,
            Cr2 = vcpu.HasInfo ? vcpu.Info.Cr2 : 0,
            KernelRoot = vcpu.KernelRoot,
            UserRoot = vcpu.UserRoot,
        };
    }

    /// <summary>Several lines of hexadecimal values.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        CultureInfo culture = CultureInfo.InvariantCulture;
        text.Append(culture, $"vcpu {Vcpu}, {(IsUserMode ? "user" : "kernel")} mode, rip {Rip:x16} rflags {Rflags:x8} cs {Cs:x4} ss {Ss:x4}\n");
        for (int i = 0; i < Names.Length; i++)
        {
            text.Append(culture, $"{Names[i]} {General[i]:x16}{(i % 4 == 3 ? '\n' : ' ')}");
        }

        text.Append(culture, $"fs base {FsBase:x16} gs base {GsBase:x16} cr2 {Cr2:x16} roots {KernelRoot:x}/{UserRoot:x}");
        return text.ToString();
    }
}
