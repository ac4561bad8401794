using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// What the PV interface keeps for one vCPU beside its registers. Except where a member says otherwise it is touched
/// only on the vCPU's own thread, or by another vCPU before this one is up.
/// </summary>
internal sealed unsafe class VcpuContext
{
    private IGuestProcessor? _processor;
    private GuestReference<VcpuInfo> _info;

    /// <param name="index">vCPU number, from 0.</param>
    /// <param name="memory">Memory of the domain.</param>
    /// <param name="life">State of the domain as a whole.</param>
    /// <param name="infos">Where the vcpu_info structures are.</param>
    public VcpuContext(int index, GuestMemory memory, DomainLife life, VcpuInfoTable infos)
    {
        Index = index;
        Memory = memory;
        Life = life;
        Infos = infos;
        Descriptors = new DescriptorTables(this);
        RefreshInfo();
    }

    public int Index { get; }

    public GuestMemory Memory { get; }

    public DomainLife Life { get; }

    public VcpuInfoTable Infos { get; }

    /// <summary>The processor that runs this vCPU.</summary>
    public IGuestProcessor Processor => _processor!;

    /// <summary>The registers.</summary>
    public VcpuState* State { get; private set; }

    /// <summary>The vcpu_info in guest memory; only if <see cref="HasInfo"/>.</summary>
    public ref VcpuInfo Info => ref _info.Value;

    /// <summary>Whether there is a vcpu_info: always below vCPU 32, above once registered.</summary>
    public bool HasInfo { get; private set; }

    /// <summary>Whether an event waits and the guest takes events.</summary>
    public bool IsUpcallDue => HasInfo && Volatile.Read(ref Info.UpcallPending) != 0 && Volatile.Read(ref Info.UpcallMask) == 0;

    /// <summary>Whether an NMI can be delivered.</summary>
    public bool IsNmiDue => NmiPending && !NmiMasked;

    public TrapTable Traps { get; } = new();

    public DescriptorTables Descriptors { get; }

    // ---- entry points of the guest kernel

    public GuestCallback EventCallback { get; set; }

    public GuestCallback FailsafeCallback { get; set; }

    public GuestCallback SyscallCallback { get; set; }

    // ---- registers the guest sees through hypercalls and trapped instructions

    /// <summary>Kernel stack for entries from user mode (stack_switch).</summary>
    public ulong KernelStackPointer { get; set; }

    public ushort KernelStackSelector { get; set; } = Selector.FlatKernelData;

    /// <summary>The GS base of the mode that is not active; swapped with the live one at mode changes.</summary>
    public ulong InactiveGsBase { get; set; }

    public ulong KernelRoot { get; private set; }

    /// <summary>0: none.</summary>
    public ulong UserRoot { get; private set; }

    public uint IoPrivilegeLevel { get; set; }

    /// <summary>DR0 to DR7.</summary>
    public ulong[] DebugRegisters { get; } = [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400];

    public ulong Cr4 { get; set; } = Instructions.ControlRegisters.Cr4Fixed;

    public ulong Xcr0 { get; set; } = 1;

    public ulong TscAux { get; set; }

    /// <summary>CR0.TS: the next FPU instruction raises #NM.</summary>
    public bool TaskSwitched { get; set; }

    // ---- interrupts

    /// <summary>Set on any thread.</summary>
    public volatile bool NmiPending;

    /// <summary>From the delivery of an NMI to the next iret.</summary>
    public bool NmiMasked { get; set; }

    // ---- scheduling

    /// <summary>How it sleeps; set right after construction.</summary>
    public VcpuScheduler Scheduler { get; private set; } = null!;

    /// <summary>What other vCPUs want this one to do.</summary>
    public VcpuRequests Requests { get; } = new();

    /// <summary>Whether the guest gave it a first state (vCPU 0: always).</summary>
    public bool IsInitialised { get; set; }

    /// <summary>Whether it runs; read by other vCPUs.</summary>
    public volatile bool IsUp;

    /// <summary>Host thread that runs this vCPU; 0 before.</summary>
    public int ThreadId { get; set; }

    public bool IsUserMode => State->UserMode != 0;

    /// <summary>Connects the processor and the scheduler. Once, before anything else is called.</summary>
    public void Attach(IGuestProcessor processor, VcpuScheduler scheduler)
    {
        _processor = processor;
        Scheduler = scheduler;
        State = processor.State;
    }

    /// <summary>Looks up the vcpu_info again, after it has moved.</summary>
    public void RefreshInfo() => HasInfo = Infos.TryGet(Index, out _info);

    /// <summary>Changes between kernel and user mode: flag and GS base. The roots follow from the flag.</summary>
    public void SwitchMode(bool user)
    {
        VcpuState* state = State;
        state->UserMode = user ? 1u : 0u;
        (state->GsBase, InactiveGsBase) = (InactiveGsBase, state->GsBase);
    }

    public void SetKernelRoot(ulong frame)
    {
        KernelRoot = frame;
        Processor.SetRoots(frame, UserRoot);
    }

    public void SetUserRoot(ulong frame)
    {
        UserRoot = frame;
        Processor.SetRoots(KernelRoot, frame);
    }

    public void SetRoots(ulong kernelRoot, ulong userRoot)
    {
        KernelRoot = kernelRoot;
        UserRoot = userRoot;
        Processor.SetRoots(kernelRoot, userRoot);
    }

    /// <summary>Makes the vCPU look for events: wakes it, or interrupts its guest code. Any thread.</summary>
    public void Kick()
    {
        // On its own thread it is inside the monitor, and looks for events on the way out.
        if (Environment.CurrentManagedThreadId != ThreadId && _processor is not null && !Scheduler.TryWake())
        {
            _processor.RequestPoll();
        }
    }

    /// <summary>Whether the vCPU owes the domain something before it may sleep or run on: a pause, or requests of other
    /// vCPUs.</summary>
    public bool MustAttend => Life.IsPaused || Requests.IsPending;

    /// <summary>Serves what <see cref="MustAttend"/> tells of; waits while the domain is paused.</summary>
    public void Attend()
    {
        if (Requests.IsPending)
        {
            Requests.Serve(Processor);
        }

        Life.WaitWhilePaused();
    }

    /// <summary>Ends the domain because this vCPU cannot go on.</summary>
    public void Crash(string reason) => Life.End(DomainOutcome.Crashed(reason, RegisterSnapshot.Take(this)));
}

/// <summary>An entry point of the guest kernel. Address 0: not registered.</summary>
/// <param name="Address">Virtual address.</param>
/// <param name="MasksEvents">Whether the upcall mask is set on entry.</param>
internal readonly record struct GuestCallback(ulong Address, bool MasksEvents);
