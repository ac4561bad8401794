using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Memory;

/// <summary>
/// A larger, slower TLB behind the per-context arrays, shared by all contexts. An entry is {guest page address | generation, host page
/// address}; each context has its own generation (12 bits, never 0), so that a flush only takes a new one.
/// </summary>
internal sealed unsafe class SecondTlb : IDisposable
{
    public const int Entries = 8192;
    public const int ArrayBytes = Entries * 16;

    /// <summary>The index is page number ^ (page number >> this), modulo the entries.</summary>
    public const int FoldShift = 13;

    private const uint MaxGeneration = 4095;

    // Whether a host page was ever entered for writing, by a hash: most pages that code is translated from were not.
    private readonly bool[] _written = new bool[1 << 16];
    private readonly byte* _memory;
    private uint _lastGeneration;

    public SecondTlb()
    {
        _memory = (byte*)NativeMemory.AlignedAlloc(4 * ArrayBytes, 4096);
        Clear();
    }

    public byte* Array(TlbArray array) => _memory + ((int)array * ArrayBytes);

    /// <summary>A generation nobody has; 0 when they are used up and <see cref="Clear"/> must be called.</summary>
    public uint TakeGeneration() => _lastGeneration == MaxGeneration ? 0 : ++_lastGeneration;

    public void Clear()
    {
        NativeMemory.Clear(_memory, 4 * ArrayBytes);
        _lastGeneration = 0;
    }

    public bool Find(TlbArray array, ulong address, uint generation, out byte* hostPage)
    {
        ulong* entry = Entry(array, address);
        hostPage = (byte*)entry[1];
        return entry[0] == ((address & ~0xFFFUL) | generation);
    }

    public void Fill(TlbArray array, ulong address, uint generation, byte* hostPage)
    {
        if (array is TlbArray.KernelWrite or TlbArray.UserWrite)
        {
            _written[(ushort)((ulong)hostPage >> 12)] = true;
        }

        ulong* entry = Entry(array, address);
        entry[0] = (address & ~0xFFFUL) | generation;
        entry[1] = (ulong)hostPage;
    }

    /// <summary>Forgets a page in all contexts.</summary>
    public void Forget(ulong address)
    {
        ulong page = address & ~0xFFFUL;
        for (int array = 0; array < 4; array++)
        {
            ulong* entry = Entry((TlbArray)array, address);
            if ((entry[0] & ~0xFFFUL) == page)
            {
                entry[0] = 0;
            }
        }
    }

    /// <summary>Whether a host page may be in an array for writing, here or in the first TLB.</summary>
    public bool MayBeWritable(byte* hostPage) => _written[(ushort)((ulong)hostPage >> 12)];

    public void ForgetWritable(byte* hostPage)
    {
        foreach (TlbArray array in (ReadOnlySpan<TlbArray>)[TlbArray.KernelWrite, TlbArray.UserWrite])
        {
            ulong* entry = (ulong*)Array(array);
            for (int i = 0; i < Entries; i++, entry += 2)
            {
                if (entry[1] == (ulong)hostPage)
                {
                    entry[0] = 0;
                }
            }
        }
    }

    public void Dispose() => NativeMemory.AlignedFree(_memory);

    private ulong* Entry(TlbArray array, ulong address)
    {
        ulong page = address >> 12;
        return (ulong*)(Array(array) + (((page ^ (page >> FoldShift)) & (Entries - 1)) * 16));
    }
}
