using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Cache;

/// <summary>
/// Where indirect branches go: host code by a hash of the guest address. An entry leads to code that checks whether
/// it is the right target, since the table holds no addresses to compare with.
/// </summary>
internal sealed unsafe class BranchTable : IDisposable
{
    public const int IndexBits = 13;

    public const int Entries = 1 << IndexBits;

    private readonly Block?[] _blocks = new Block?[Entries];
    private readonly List<ushort> _used = [];
    private readonly nint _miss;

    /// <param name="miss">Host address for addresses that are not in the table.</param>
    public BranchTable(nint miss)
    {
        _miss = miss;
        Pointer = (nint*)NativeMemory.AlignedAlloc(Entries * (nuint)sizeof(nint), 4096);
        new Span<nint>(Pointer, Entries).Fill(miss);
    }

    public nint* Pointer { get; }

    /// <summary>The block last entered for an address, if it is in the table.</summary>
    public Block? Find(ulong address)
    {
        Block? block = _blocks[Index(address)];
        return block != null && block.Key.Virtual == address ? block : null;
    }

    /// <param name="block">The block.</param>
    /// <param name="entry">Host code that checks the address and goes to the block.</param>
    public void Set(Block block, nint entry)
    {
        int index = Index(block.Key.Virtual);
        if (_blocks[index] == null)
        {
            _used.Add((ushort)index);
        }

        _blocks[index] = block;
        Pointer[index] = entry;
    }

    public void Forget(Block block)
    {
        int index = Index(block.Key.Virtual);
        if (_blocks[index] == block)
        {
            _blocks[index] = null;
            Pointer[index] = _miss;
        }
    }

    /// <summary>Empties the table; cheap for a table with few entries.</summary>
    public void Clear()
    {
        foreach (ushort index in _used)
        {
            _blocks[index] = null;
            Pointer[index] = _miss;
        }

        _used.Clear();
    }

    public void Dispose() => NativeMemory.AlignedFree(Pointer);

    // As emitted code computes it. Addresses near each other have entries of their own.
    private static int Index(ulong address) => (int)((uint)address ^ ((uint)address >> IndexBits)) & (Entries - 1);
}
