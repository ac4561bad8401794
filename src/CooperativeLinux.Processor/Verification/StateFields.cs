using System.Runtime.InteropServices;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Verification;

/// <summary>What blocks may do with a field of the data region.</summary>
internal enum FieldUse : byte
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Any allowed instruction may read and write it, like a register.</summary>
    GuestRegister,

    /// <summary>mov to and from it. Only guest data is ever stored there.</summary>
    Scratch,

    /// <summary>rax is moved to and from it, nothing else.</summary>
    KeptRax,

    /// <summary>mov or movzx from it.</summary>
    Input,

    /// <summary>mov to it.</summary>
    Output,

    /// <summary>mov of a constant to it.</summary>
    Argument,

    // The rest is named by one pattern each, see BlockVerifier.Patterns.cs.
    Tlb,
    StackNegative,
    StackDelta,
    PageSlots,
    Limit,
    PollClear,
    DepthTag,
    BranchTable,
    BranchTarget,
    BaseDelta,
    InlinePage,
    InlineDistance,
}

/// <summary>A field that blocks may name.</summary>
/// <param name="Offset">Distance from the start of the data region.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Use">What for.</param>
/// <param name="Write">Tlb, InlinePage, InlineDistance: it is of writable pages.</param>
/// <param name="Number">BaseDelta, InlinePage, InlineDistance: which of them.</param>
/// <param name="User">Tlb, StackNegative, StackDelta, InlinePage, InlineDistance: it belongs to user mode, else to kernel mode.</param>
internal readonly record struct StateField(int Offset, int Length, FieldUse Use, bool Write = false, bool User = false, int Number = 0);

/// <summary>The fields of the data region that blocks may name. What is not listed here is denied.</summary>
internal sealed class StateFields
{
    private const int SlotBytes = 4;

    private readonly int _inlineTlb;
    private readonly byte[] _fieldAt;
    private readonly List<StateField> _fields = [default];

    /// <param name="engineOffset">Distance of <see cref="EngineState"/> from the start of the data region, where <see cref="VcpuState"/> is.</param>
    public StateFields(int engineOffset)
    {
        _inlineTlb = engineOffset + EngineState.TotalSize;
        _fieldAt = new byte[(engineOffset + EngineState.TotalSize) / SlotBytes];

        Guest(nameof(VcpuState.R9), 8, FieldUse.GuestRegister);
        Guest(nameof(VcpuState.R10), 8, FieldUse.GuestRegister);
        Guest(nameof(VcpuState.R11), 8, FieldUse.GuestRegister);
        Guest(nameof(VcpuState.Rip), 8, FieldUse.Output);
        Guest(nameof(VcpuState.FsBase), 8, FieldUse.Input);
        Guest(nameof(VcpuState.GsBase), 8, FieldUse.Input);
        Guest(nameof(VcpuState.Selectors), 16, FieldUse.Input);

        Engine(nameof(EngineState.Argument), 4, FieldUse.Argument);
        Engine(nameof(EngineState.Park0), 8, FieldUse.Scratch);
        Engine(nameof(EngineState.Park1), 8, FieldUse.Scratch);
        Engine(nameof(EngineState.ParkRax), 8, FieldUse.KeptRax);
        Engine(nameof(EngineState.ParkedFlags), 4, FieldUse.Scratch);
        Engine(nameof(EngineState.CallTarget), 8, FieldUse.Scratch);
        Engine(nameof(EngineState.Limit), 8, FieldUse.Limit);
        Engine(nameof(EngineState.PollClear), 4, FieldUse.PollClear);
        Engine(nameof(EngineState.DepthTag), 4, FieldUse.DepthTag);
        Engine(nameof(EngineState.BranchTable), 8, FieldUse.BranchTable);
        Engine(nameof(EngineState.BranchTarget), 8, FieldUse.BranchTarget);
        Engine(nameof(EngineState.PageSlots), 8, FieldUse.PageSlots);
        Engine(nameof(EngineState.KernelStackNegative), 8, FieldUse.StackNegative);
        Engine(nameof(EngineState.KernelStackDelta), 8, FieldUse.StackDelta);
        Engine(nameof(EngineState.UserStackNegative), 8, FieldUse.StackNegative, user: true);
        Engine(nameof(EngineState.UserStackDelta), 8, FieldUse.StackDelta, user: true);

        for (int slot = 0; slot < Analysis.BaseGroups.Slots; slot++)
        {
            Add(new StateField(engineOffset + OffsetOf<EngineState>(nameof(EngineState.BaseDeltas)) + (slot * sizeof(ulong)), sizeof(ulong), FieldUse.BaseDelta, Number: slot));
        }

        // Kernel read, kernel write, user read, user write, each with its banks.
        int tlbs = engineOffset + OffsetOf<EngineState>(nameof(EngineState.Tlbs));
        for (int array = 0; array < TlbContext.ArrayCount; array++)
        {
            int kind = array / TlbContext.Banks;
            Add(new StateField(tlbs + (array * sizeof(ulong)), sizeof(ulong), FieldUse.Tlb, Write: kind is 1 or 3, User: kind is 2 or 3));
        }

        void Guest(string name, int length, FieldUse use) => Add(new StateField(OffsetOf<VcpuState>(name), length, use));

        void Engine(string name, int length, FieldUse use, bool user = false) =>
            Add(new StateField(engineOffset + OffsetOf<EngineState>(name), length, use, User: user));
    }

    /// <summary>The field that contains all the bytes of an access; the default value if none does.</summary>
    /// <param name="offset">First byte, relative to the data region.</param>
    /// <param name="size">Bytes.</param>
    public StateField Find(long offset, int size)
    {
        if (offset >= _inlineTlb)
        {
            return InlineEntry(offset - _inlineTlb, size);
        }

        if (offset < 0)
        {
            return default;
        }

        StateField field = _fields[_fieldAt[offset / SlotBytes]];
        return offset >= field.Offset && offset + size <= field.Offset + field.Length ? field : default;
    }

    // The page addresses, the distances behind them; the misses are not for blocks. Entries for reading come first.
    private StateField InlineEntry(long offset, int size)
    {
        long number = offset / sizeof(ulong);
        if (size != sizeof(ulong) || offset % sizeof(ulong) != 0 || number >= 2 * InlineTlb.Entries)
        {
            return default;
        }

        int entry = (int)(number % InlineTlb.Entries);
        return new StateField(_inlineTlb + (int)offset, size, number < InlineTlb.Entries ? FieldUse.InlinePage : FieldUse.InlineDistance,
            Write: entry >= InlineTlb.EntriesOfKind, User: true, Number: entry);
    }

    private static int OffsetOf<T>(string field) => (int)Marshal.OffsetOf<T>(field);

    private void Add(in StateField field)
    {
        for (int offset = field.Offset; offset < field.Offset + field.Length; offset += SlotBytes)
        {
            _fieldAt[offset / SlotBytes] = (byte)_fields.Count;
        }

        _fields.Add(field);
    }
}
