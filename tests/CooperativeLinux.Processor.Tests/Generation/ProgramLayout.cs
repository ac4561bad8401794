using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>
/// Puts the enabled items of a program in a row, resolves their targets, and makes sure that no instruction reads a flag whose
/// value is undefined, by comparing something in front of it.
/// </summary>
internal sealed class ProgramLayout
{
    private const ulong All = 0x8D5;

    /// <summary>Instructions that write their flags whatever their operands are.</summary>
    private static readonly HashSet<Mnemonic> Definite =
    [
        Mnemonic.Add, Mnemonic.Sub, Mnemonic.Cmp, Mnemonic.Adc, Mnemonic.Sbb, Mnemonic.And, Mnemonic.Or, Mnemonic.Xor, Mnemonic.Test, Mnemonic.Neg,
        Mnemonic.Inc, Mnemonic.Dec, Mnemonic.Cmpxchg, Mnemonic.Xadd, Mnemonic.Popfq, Mnemonic.Popcnt, Mnemonic.Clc, Mnemonic.Stc, Mnemonic.Ucomiss, Mnemonic.Comiss,
    ];

    private readonly IReadOnlyList<ProgramItem> _items;
    private readonly List<Entry> _entries = [];
    private readonly Dictionary<int, int> _firstEntryOfItem = [];

    public ProgramLayout(IReadOnlyList<ProgramItem> items)
    {
        _items = items;
        foreach (ProgramItem item in items.Where(item => item.IsEnabled))
        {
            _firstEntryOfItem[item.Index] = _entries.Count;
            for (int i = 0; i < item.Instructions.Count; i++)
            {
                _entries.Add(new Entry(item.Instructions[i], i == item.Reference ? item.Target : -1));
            }
        }

        Undefined = FindUndefined();
        Protect();
    }

    /// <summary>Flags that are undefined at the end of the main part.</summary>
    public ulong UndefinedAtEnd
    {
        get
        {
            int end = _entries.FindIndex(entry => entry.Instruction.Mnemonic == Mnemonic.Int3);
            return end < 0 ? All : Undefined[end];
        }
    }

    /// <summary>Undefined flags in front of every entry.</summary>
    private ulong[] Undefined { get; set; }

    /// <summary>The code at an address.</summary>
    public byte[] Assemble(ulong address)
    {
        // Addresses before encoding are just names: 16 times the entry's number, plus one for what protects it.
        List<Instruction> instructions = [];
        for (int i = 0; i < _entries.Count; i++)
        {
            Entry entry = _entries[i];
            if (entry.IsProtected)
            {
                Instruction guard = Instruction.Create(Code.Cmp_rm64_imm8, Register.RSP, entry.GuardValue);
                guard.IP = Name(i);
                instructions.Add(guard);
            }

            Instruction instruction = entry.Instruction;
            instruction.IP = Name(i) + (entry.IsProtected ? 1ul : 0);
            if (entry.Target >= 0)
            {
                SetTarget(ref instruction, Name(Resolve(entry.Target)));
            }

            instructions.Add(instruction);
        }

        ByteList writer = new();
        if (!BlockEncoder.TryEncode(64, new InstructionBlock(writer, instructions, address), out string? error, out _))
        {
            throw new InvalidOperationException($"A random program cannot be encoded: {error}");
        }

        return writer.ToArray();
    }

    private static ulong Name(int entry) => 16 * ((ulong)entry + 1);

    private static void SetTarget(ref Instruction instruction, ulong name)
    {
        if (instruction.Op0Kind == OpKind.NearBranch64)
        {
            instruction.NearBranch64 = name;
        }
        else
        {
            instruction.MemoryDisplacement64 = name;
        }
    }

    /// <summary>First entry of an item, or of the next enabled one.</summary>
    private int Resolve(int itemIndex)
    {
        for (int index = itemIndex; index < _items.Count; index++)
        {
            if (_firstEntryOfItem.TryGetValue(index, out int entry))
            {
                return entry;
            }
        }

        return _entries.Count - 1;
    }

    private void Protect()
    {
        for (bool changed = true; changed;)
        {
            changed = false;
            for (int i = 0; i < _entries.Count; i++)
            {
                ulong read = FlagMasks.ToRflags(_entries[i].Instruction.RflagsRead);
                if (!_entries[i].IsProtected && (read & Undefined[i]) != 0)
                {
                    _entries[i] = _entries[i] with { IsProtected = true, GuardValue = (sbyte)(37 * i) };
                    changed = true;
                }
            }

            Undefined = FindUndefined();
        }
    }

    /// <summary>Forward data flow over all paths.</summary>
    private ulong[] FindUndefined()
    {
        ulong[] undefined = new ulong[_entries.Count];
        List<int> afterCalls = [.. Enumerable.Range(1, _entries.Count - 1).Where(i => _entries[i - 1].Instruction.FlowControl is FlowControl.Call or FlowControl.IndirectCall)];
        for (bool changed = true; changed;)
        {
            changed = false;
            for (int i = 0; i < _entries.Count; i++)
            {
                ulong after = After(_entries[i], undefined[i]);
                foreach (int next in Successors(i, afterCalls))
                {
                    changed |= (undefined[next] | after) != undefined[next];
                    undefined[next] |= after;
                }
            }
        }

        return undefined;
    }

    private static ulong After(in Entry entry, ulong before)
    {
        Instruction instruction = entry.Instruction;
        ulong undefined = FlagMasks.ToRflags(instruction.RflagsUndefined);
        ulong kept = entry.IsProtected ? 0 : before;
        if (Definite.Contains(instruction.Mnemonic))
        {
            kept &= ~FlagMasks.ToRflags(instruction.RflagsModified);
        }

        return kept | undefined;
    }

    private IEnumerable<int> Successors(int index, List<int> afterCalls)
    {
        Entry entry = _entries[index];
        FlowControl flow = entry.Instruction.FlowControl;
        if (entry.Target >= 0)
        {
            // Also where an address is only computed: the branch through it goes there with these flags or later ones.
            yield return Resolve(entry.Target);
        }

        if (flow == FlowControl.Return)
        {
            foreach (int next in afterCalls)
            {
                yield return next;
            }
        }
        else if (flow is not (FlowControl.UnconditionalBranch or FlowControl.IndirectBranch or FlowControl.Interrupt) && index + 1 < _entries.Count)
        {
            yield return index + 1;
        }
    }

    private readonly record struct Entry(Instruction Instruction, int Target, bool IsProtected = false, sbyte GuardValue = 0);

    private sealed class ByteList : CodeWriter
    {
        private readonly List<byte> _bytes = [];

        public override void WriteByte(byte value) => _bytes.Add(value);

        public byte[] ToArray() => [.. _bytes];
    }
}
