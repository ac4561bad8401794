using System.Buffers.Binary;
using System.Runtime.InteropServices;
using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Host.Faults;

/// <summary>
/// The fault handler's machine code and the unmanaged table it reads. Lives as long as the process.
/// </summary>
internal sealed unsafe class FaultTable
{
    /// <summary>Entries in the table.</summary>
    public const int MaxEntries = 256;

    // Layout of the table, known to the handlers' machine code.
    public const int UsedOffset = 0;              // uint: entries to scan
    public const int SignalCallOffset = 8;        // Linux: address of signal()
    public const int RaiseCallOffset = 16;        // Linux: address of raise()
    public const int SwitchMaskOffset = 24;       // Linux: uint, bit per signal whose previous handler wants the interrupted stack
    public const int PreviousOffset = 64;         // Linux: previous handler per signal, 32 x 8 bytes
    public const int VectorKindsOffset = 320;     // Linux: FaultKind per x86 vector, 32 x 4 bytes
    public const int ExceptionKindsOffset = 448;  // Windows: pairs of exception code and FaultKind, 8 bytes each, ended by code 0
    public const int EntriesOffset = 1024;
    public const int TotalSize = EntriesOffset + (MaxEntries * Entry.TotalSize);

    private const int TableAddressOffset = 2;     // operand of the handlers' first instruction
    private readonly CodeMemory _memory;
    private readonly Lock _lock = new();
    private readonly bool[] _taken = new bool[MaxEntries];

    /// <param name="handlerCode">Machine code whose first instruction loads the table's address.</param>
    public FaultTable(ReadOnlySpan<byte> handlerCode)
    {
        _memory = CodeMemory.Create(TotalSize, handlerCode.Length);
        Span<byte> code = new(_memory.CodeWritable, _memory.CodeSize);
        handlerCode.CopyTo(code);
        BinaryPrimitives.WriteUInt64LittleEndian(code[TableAddressOffset..], (ulong)_memory.Data);
    }

    /// <summary>Entry point of the handler.</summary>
    public byte* Handler => _memory.Code;

    /// <summary>A field of the table.</summary>
    /// <param name="offset">One of the offset constants, plus an index.</param>
    public ref T Field<T>(int offset) where T : unmanaged => ref *(T*)(_memory.Data + offset);

    /// <summary>Adds a code range.</summary>
    /// <returns>The slot, for <see cref="Remove"/>.</returns>
    public int Add(byte* start, byte* end, FaultRecord* record, byte* resume)
    {
        lock (_lock)
        {
            int slot = Array.IndexOf(_taken, false);
            if (slot < 0)
            {
                throw new InvalidOperationException($"More than {MaxEntries} fault doors are open.");
            }

            _taken[slot] = true;

            // The end is written last, and zeroed first on removal. A handler that reads end, start and the same end again
            // has the start that belongs to the end: processors of this architecture keep stores and loads in order.
            Entry* entry = At(slot);
            Volatile.Write(ref entry->Record, (ulong)record);
            Volatile.Write(ref entry->Resume, (ulong)resume);
            Volatile.Write(ref entry->Start, (ulong)start);
            Volatile.Write(ref entry->End, (ulong)end);
            ref uint used = ref Field<uint>(UsedOffset);
            Volatile.Write(ref used, Math.Max(used, (uint)slot + 1));
            return slot;
        }
    }

    /// <summary>Removes a code range.</summary>
    public void Remove(int slot)
    {
        lock (_lock)
        {
            Volatile.Write(ref At(slot)->End, 0);
            _taken[slot] = false;
        }
    }

    private Entry* At(int slot) => (Entry*)(_memory.Data + EntriesOffset) + slot;

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct Entry
    {
        public const int TotalSize = 32;

        [FieldOffset(0)] public ulong Start;
        [FieldOffset(8)] public ulong End;
        [FieldOffset(16)] public ulong Record;
        [FieldOffset(24)] public ulong Resume;
    }
}
