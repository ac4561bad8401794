using System.Runtime.InteropServices;

namespace CooperativeLinux.Monitor.Memory;

/// <summary>
/// The machine-to-physical table the guest kernel reads at a fixed address (pv-interface 1.7). Machine frames equal
/// pseudo-physical ones, so its pages are made when they are first read: entry i of the table is i. Pages live as long as
/// the object. Any thread.
/// </summary>
public sealed unsafe class MachineToPhysical : IDisposable
{
    /// <summary>Where the table starts: the first page of the hypervisor's hole.</summary>
    public const ulong VirtualBase = 0xffff_8000_0000_0000;

    /// <summary>Largest frame in the table: 512 GiB, what Debian kernels can ever be given.</summary>
    public const ulong MaxFrame = (1UL << 27) - 1;

    /// <summary>End of the hypervisor's hole (L4 slots 256 to 271), exclusive.</summary>
    private const ulong HoleEnd = 0xffff_8800_0000_0000;

    private const int PageSize = 4096, EntriesPerPage = PageSize / 8, EntriesPerBlock = 512;
    private const int PageCount = (int)((MaxFrame + 1) / EntriesPerPage);

    private readonly nint[]?[] _blocks = new nint[PageCount / EntriesPerBlock][];
    private readonly Lock _lock = new();
    private bool _disposed;

    /// <summary>Whether the address lies in the hypervisor's hole, which no guest page table describes.</summary>
    public static bool IsReserved(ulong address) => address is >= VirtualBase and < HoleEnd;

    /// <summary>The page of the table that covers an address.</summary>
    /// <param name="address">Page-aligned virtual address.</param>
    /// <returns>Host address of 4096 readable bytes; null outside the table.</returns>
    public byte* Resolve(ulong address)
    {
        ulong number = (address - VirtualBase) / PageSize;
        if (address < VirtualBase || number >= PageCount)
        {
            return null;
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            nint[] block = _blocks[number / EntriesPerBlock] ??= new nint[EntriesPerBlock];
            ref nint page = ref block[number % EntriesPerBlock];
            if (page == 0)
            {
                page = (nint)MakePage(number);
            }

            return (byte*)page;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            foreach (nint[]? block in _blocks)
            {
                foreach (nint page in block ?? [])
                {
                    NativeMemory.AlignedFree((void*)page);
                }
            }

            Array.Clear(_blocks);
        }
    }

    private static byte* MakePage(ulong number)
    {
        ulong* page = (ulong*)NativeMemory.AlignedAlloc(PageSize, PageSize);
        ulong first = number * EntriesPerPage;
        for (ulong i = 0; i < EntriesPerPage; i++)
        {
            page[i] = first + i;
        }

        return (byte*)page;
    }
}
