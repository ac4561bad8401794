using CooperativeLinux.Monitor.Memory;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>Connects one vCPU of the translator to the monitor.</summary>
internal sealed unsafe class VcpuEnvironment(MachineToPhysical machineToPhysical, UndefinedInstructions undefined) : IVcpuEnvironment
{
    private VcpuExits _exits = null!;

    /// <summary>Completes construction: exits need the vCPU, which needs the environment.</summary>
    public void Connect(VcpuExits exits) => _exits = exits;

    public void OnSyscall(Vcpu cpu) => _exits.OnSyscall();

    public void OnException(Vcpu cpu, in GuestException exception) => _exits.OnException(exception);

    public void OnInstruction(Vcpu cpu, in Instruction instruction) => _exits.OnInstruction(instruction);

    public void OnUndefined(Vcpu cpu, string name) => undefined.Note(name, cpu.State->Rip, cpu.State->UserMode != 0);

    public void OnPoll(Vcpu cpu) => _exits.OnPoll();

    public bool IsReserved(ulong address) => MachineToPhysical.IsReserved(address);

    /// <summary>The guest kernel may read the machine-to-physical table; all else in the hole faults.</summary>
    public byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write) =>
        write || cpu.State->UserMode != 0 ? null : machineToPhysical.Resolve(address);
}
