using System.Runtime.InteropServices;
using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Hostile;

/// <summary>Blocks of known content all over the process, which no guest may change: on the native heap and on the managed one.</summary>
internal sealed unsafe class Canaries : IDisposable
{
    private const int NativeBlocks = 16;
    private const int NativeSize = 256 << 10;
    private const int ManagedBlocks = 16;
    private const int ManagedSize = 16 << 10;

    private readonly nint[] _native = new nint[NativeBlocks];
    private readonly ulong[][] _managed = new ulong[ManagedBlocks][];

    public Canaries()
    {
        for (int i = 0; i < NativeBlocks; i++)
        {
            _native[i] = (nint)NativeMemory.Alloc(NativeSize);
            Fill(new Span<ulong>((void*)_native[i], NativeSize / 8), i);
        }

        for (int i = 0; i < ManagedBlocks; i++)
        {
            _managed[i] = GC.AllocateUninitializedArray<ulong>(ManagedSize / 8, pinned: true);
            Fill(_managed[i], NativeBlocks + i);
        }
    }

    /// <summary>A host address within one of the blocks.</summary>
    public ulong Address(Rng rng)
    {
        int block = rng.Below(NativeBlocks + ManagedBlocks);
        return block < NativeBlocks
            ? (ulong)_native[block] + (ulong)rng.Below(NativeSize)
            : (ulong)(nint)Marshal.UnsafeAddrOfPinnedArrayElement(_managed[block - NativeBlocks], 0) + (ulong)rng.Below(ManagedSize);
    }

    /// <summary>Whether all blocks are as they were made.</summary>
    public bool AreIntact()
    {
        for (int i = 0; i < NativeBlocks; i++)
        {
            if (!IsFilled(new ReadOnlySpan<ulong>((void*)_native[i], NativeSize / 8), i))
            {
                return false;
            }
        }

        for (int i = 0; i < ManagedBlocks; i++)
        {
            if (!IsFilled(_managed[i], NativeBlocks + i))
            {
                return false;
            }
        }

        return true;
    }

    public void Dispose()
    {
        foreach (nint block in _native)
        {
            NativeMemory.Free((void*)block);
        }
    }

    private static ulong Value(int block, int index) => 0xCA7A_2700_0000_0000UL ^ ((ulong)block << 32) ^ (uint)index;

    private static void Fill(Span<ulong> words, int block)
    {
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = Value(block, i);
        }
    }

    private static bool IsFilled(ReadOnlySpan<ulong> words, int block)
    {
        for (int i = 0; i < words.Length; i++)
        {
            if (words[i] != Value(block, i))
            {
                return false;
            }
        }

        return true;
    }
}
