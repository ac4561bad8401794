using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Events;

/// <summary>The shared_info page of a domain, in guest memory.</summary>
public sealed class SharedInfoPage
{
    private readonly GuestMemory _memory;
    private readonly GuestReference<SharedInfo> _reference;

    /// <summary>Uses the frame, which is added to <paramref name="memory"/> if it does not exist yet, and puts it into its
    /// initial state.</summary>
    public SharedInfoPage(GuestMemory memory, ulong frame = SpecialFrames.SharedInfo)
    {
        if (memory.Frame(frame).IsEmpty)
        {
            memory.AddSpecialFrame(frame);
        }

        if (!memory.TryGetReference(frame * GuestMemory.PageSize, out _reference))
        {
            throw new InvalidOperationException("The shared_info frame is not in guest memory.");
        }

        _memory = memory;
        Frame = frame;
        Reset();
    }

    /// <summary>Frame number.</summary>
    public ulong Frame { get; }

    /// <summary>Guest-physical address, as start_info has it.</summary>
    public ulong Address => Frame * GuestMemory.PageSize;

    /// <summary>The structure in place. The guest changes it at any time.</summary>
    public ref SharedInfo Value => ref _reference.Value;

    /// <summary>State at domain start: all zero, but events masked for every vCPU.</summary>
    public void Reset()
    {
        _memory.Frame(Frame).Clear();
        ref SharedInfo shared = ref _reference.Value;
        for (int slot = 0; slot < SharedInfo.LegacySlots; slot++)
        {
            shared.VcpuSlots[slot].UpcallMask = 1;
        }
    }

    internal GuestReference<VcpuInfo> LegacySlot(int vcpu)
    {
        _memory.TryGetReference(Address + (ulong)(vcpu * VcpuInfo.TotalSize), out GuestReference<VcpuInfo> reference);
        return reference;
    }
}
