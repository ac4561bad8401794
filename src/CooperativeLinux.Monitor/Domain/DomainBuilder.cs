using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Domain;

/// <summary>
/// Builds a PV domain in guest memory: kernel, RAM disk, start_info, rings, p2m list and the page tables the kernel
/// starts on, with pseudo-physical frames equal to machine frames.
/// </summary>
public static class DomainBuilder
{
    /// <summary>Largest memory of a machine, in bytes.</summary>
    public const ulong MaximumMemory = 64ul << 30;

    private const ulong Present = 1;
    private const ulong Writable = 2;
    private const ulong User = 4;
    private const ulong Accessed = 0x20;
    private const ulong Dirty = 0x40;
    private const ulong TableFlags = Present | Writable | User | Accessed | Dirty;
    private const ulong PageFlags = Present | Writable | Accessed;
    private const int PageSize = GuestMemory.PageSize;
    private const int ChunkSize = 1 << 20;
    private const ulong RamDiskAlignment = 4;

    /// <summary>Builds a domain.</summary>
    /// <param name="memory">Zero-filled RAM, at least as much as the domain gets. The shared_info frame is added and
    /// initialized unless it is there already.</param>
    /// <param name="kernel">The kernel.</param>
    /// <param name="parameters">The rest.</param>
    /// <returns>Where everything is.</returns>
    /// <exception cref="DomainBuildException">The memory is too small or too large, the command line too long, or
    /// the RAM disk cannot be read.</exception>
    public static DomainLayout Build(GuestMemory memory, KernelImage kernel, DomainParameters parameters)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(kernel);
        ArgumentNullException.ThrowIfNull(parameters);
        byte[] commandLine = EncodeCommandLine(parameters.CommandLine);
        ulong ramDiskLength = LengthOf(parameters.InitialRamDisk);
        CheckMemory(kernel, parameters.MemorySize, ramDiskLength);
        if (parameters.MemorySize > memory.Size)
        {
            throw new ArgumentException("The domain has more memory than there is.", nameof(parameters));
        }

        DomainPlan plan = DomainPlan.Make(kernel, parameters.MemorySize / PageSize, ramDiskLength);
        DomainLayout layout = Describe(plan, kernel.Notes, ramDiskLength);
        LoadKernel(memory, kernel);
        LoadRamDisk(memory, layout.InitialRamDisk, parameters.InitialRamDisk);
        WriteP2M(memory, layout);
        WritePageTables(memory, plan);
        StartInfo.Write(
            Page(memory, layout.StartInfoFrame),
            layout,
            parameters.StorePort,
            parameters.ConsolePort,
            kernel.Notes.ModuleStartIsFrame,
            commandLine);
        if (layout.HypercallPageFrame is ulong hypercallPage)
        {
            HypercallPage.Write(Page(memory, hypercallPage));
        }

        if (memory.Frame(layout.SharedInfoFrame).IsEmpty)
        {
            _ = new SharedInfoPage(memory, layout.SharedInfoFrame);
        }

        return layout;
    }

    /// <summary>The least memory, in bytes, that a kernel and a RAM disk need to be loaded; running takes more.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="ramDiskLength">Bytes of the RAM disk.</param>
    public static ulong LeastMemory(KernelImage kernel, ulong ramDiskLength)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        return DomainPlan.LeastMemory(kernel, ramDiskLength);
    }

    private static byte[] EncodeCommandLine(string commandLine)
    {
        if (commandLine.AsSpan().ContainsAny('\0', '\n', '\r'))
        {
            throw new DomainBuildException("the kernel command line has a NUL or a line break in it");
        }

        byte[] bytes = Encoding.UTF8.GetBytes(commandLine);
        return bytes.Length <= StartInfo.MaximumCommandLine
            ? bytes
            : throw new DomainBuildException(
                $"the kernel command line has {bytes.Length} bytes; at most {StartInfo.MaximumCommandLine} are possible");
    }

    private static ulong LengthOf(IReadOnlyList<Stream> ramDisk)
    {
        ulong length = 0;
        foreach (Stream part in ramDisk)
        {
            length = AlignRamDisk(length) + (ulong)Math.Max(part.Length - part.Position, 0);
        }

        return length;
    }

    private static ulong AlignRamDisk(ulong length) => (length + RamDiskAlignment - 1) & ~(RamDiskAlignment - 1);

    private static void CheckMemory(KernelImage kernel, ulong memorySize, ulong ramDiskLength)
    {
        if (memorySize > MaximumMemory)
        {
            throw new DomainBuildException(
                $"{Mebibytes(memorySize)} MiB of memory are too much; at most {MaximumMemory >> 20} MiB are supported");
        }

        if (memorySize == 0 || memorySize % PageSize != 0)
        {
            throw new DomainBuildException($"a memory of {memorySize} bytes is no multiple of {PageSize}");
        }

        if (ramDiskLength > MaximumMemory)
        {
            throw new DomainBuildException($"an initrd of {Mebibytes(ramDiskLength)} MiB fits into no machine");
        }

        ulong least = DomainPlan.LeastMemory(kernel, ramDiskLength);
        if (memorySize >= least)
        {
            return;
        }

        string what = memorySize >= DomainPlan.LeastMemory(kernel, 0)
            ? $"the initrd of {Mebibytes(ramDiskLength)} MiB does not fit"
            : ramDiskLength == 0 ? "the kernel does not fit" : "kernel and initrd do not fit";
        throw new DomainBuildException(
            $"{what}: the machine has {memorySize >> 20} MiB of memory, at least {Mebibytes(least)} MiB are needed");
    }

    private static ulong Mebibytes(ulong bytes) => (bytes >> 20) + ((bytes & ((1 << 20) - 1)) == 0 ? 0u : 1u);

    private static DomainLayout Describe(DomainPlan plan, XenNotes notes, ulong ramDiskLength)
    {
        IReadOnlyList<PageTablePlan.Table> tables = plan.Tables.Tables;
        ulong topTable = tables[0].Frame;
        return new DomainLayout
        {
            PageCount = plan.PageCount,
            EntryPoint = notes.Entry,
            StackPointer = plan.AddressOf(plan.BootStack + 1),
            StartInfoAddress = plan.AddressOf(plan.StartInfo),
            VirtualBase = plan.VirtualBase,
            MappedFrames = plan.MappedFrames,
            TopTableFrame = topTable,
            PageTableBase = plan.AddressOf(topTable),
            PageTableCount = (ulong)plan.InitialTableCount,
            PageTables = [.. tables.Select(table => new PageTableFrame(table.Frame, table.Level))],
            Kernel = plan.Kernel,
            StartInfoFrame = plan.StartInfo,
            StoreRingFrame = plan.StoreRing,
            ConsoleRingFrame = plan.ConsoleRing,
            SharedInfoFrame = SpecialFrames.SharedInfo,
            BootStackFrame = plan.BootStack,
            InitialRamDisk = plan.RamDisk,
            InitialRamDiskLength = ramDiskLength,
            P2M = plan.P2M,
            P2MAddress = plan.P2MAddress,
            FirstP2MFrame = plan.P2MWithTables.First,
            P2MFrameCount = plan.P2MWithTables.Count,
            HypercallPageFrame = unchecked(notes.HypercallPage - notes.VirtualBase) / PageSize,
            UsedFrames = plan.UsedFrames,
        };
    }

    private static void LoadKernel(GuestMemory memory, KernelImage kernel)
    {
        foreach (KernelSegment segment in kernel.Segments)
        {
            // Kernels carry their .bss as zeros; pages of them are left untouched, so that they take no host memory.
            ReadOnlySpan<byte> bytes = segment.Bytes.Span;
            ulong address = segment.PhysicalAddress;
            while (!bytes.IsEmpty)
            {
                int length = Math.Min(bytes.Length, PageSize - (int)(address % PageSize));
                ReadOnlySpan<byte> page = bytes[..length];
                if (page.ContainsAnyExcept((byte)0))
                {
                    page.CopyTo(Range(memory, address, length));
                }

                address += (uint)length;
                bytes = bytes[length..];
            }
        }
    }

    private static void LoadRamDisk(GuestMemory memory, FrameRange frames, IReadOnlyList<Stream> ramDisk)
    {
        ulong address = frames.First * PageSize;
        ulong end = frames.End * PageSize;
        try
        {
            foreach (Stream part in ramDisk)
            {
                address = AlignRamDisk(address);
                ulong partEnd = address + (ulong)Math.Max(part.Length - part.Position, 0);
                if (partEnd > end)
                {
                    throw new DomainBuildException("the initrd became longer while it was read");
                }

                while (address < partEnd)
                {
                    int length = (int)Math.Min(partEnd - address, ChunkSize);
                    part.ReadExactly(Range(memory, address, length));
                    address += (uint)length;
                }
            }
        }
        catch (IOException exception)
        {
            string reason = exception.Message.ReplaceLineEndings(" ");
            throw new DomainBuildException($"cannot read the initrd: {reason}", exception);
        }
    }

    private static void WriteP2M(GuestMemory memory, DomainLayout layout)
    {
        const int EntriesPerChunk = ChunkSize / sizeof(ulong);
        ulong entries = layout.P2M.Count * (PageSize / sizeof(ulong));
        for (ulong first = 0; first < entries; first += EntriesPerChunk)
        {
            int count = (int)Math.Min(entries - first, EntriesPerChunk);
            ulong address = (layout.P2M.First * PageSize) + (first * sizeof(ulong));
            Span<ulong> chunk = MemoryMarshal.Cast<byte, ulong>(Range(memory, address, count * sizeof(ulong)));
            for (int i = 0; i < chunk.Length; i++)
            {
                ulong frame = first + (uint)i;
                chunk[i] = frame < layout.PageCount ? frame : ulong.MaxValue;
            }
        }
    }

    private static void WritePageTables(GuestMemory memory, DomainPlan plan)
    {
        PageTablePlan tables = plan.Tables;
        HashSet<ulong> readOnly = [];
        foreach (PageTablePlan.Table table in tables.Tables)
        {
            readOnly.Add(table.Frame);
            if (tables.Tables[0] != table)
            {
                SetEntry(memory, tables.ParentOf(table), table.IndexInParent, (table.Frame * PageSize) | TableFlags);
            }
        }

        for (ulong frame = 0; frame < plan.MappedFrames; frame++)
        {
            MapPage(memory, tables, plan.AddressOf(frame), frame, !readOnly.Contains(frame));
        }

        if (plan.P2MWithTables.Count != 0)
        {
            for (ulong page = 0; page < plan.P2M.Count; page++)
            {
                MapPage(memory, tables, plan.P2MAddress + (page * PageSize), plan.P2M.First + page, true);
            }
        }
    }

    private static void MapPage(GuestMemory memory, PageTablePlan tables, ulong address, ulong frame, bool isWritable)
    {
        ulong flags = isWritable ? PageFlags : PageFlags & ~Writable;
        int index = (int)(address / PageSize) & ((PageSize / sizeof(ulong)) - 1);
        SetEntry(memory, tables.LeafTableOf(address), index, (frame * PageSize) | flags);
    }

    private static void SetEntry(GuestMemory memory, ulong table, int index, ulong entry) =>
        BinaryPrimitives.WriteUInt64LittleEndian(memory.Frame(table)[(index * sizeof(ulong))..], entry);

    private static Span<byte> Page(GuestMemory memory, ulong frame) => Range(memory, frame * PageSize, PageSize);

    private static Span<byte> Range(GuestMemory memory, ulong address, int length)
    {
        Span<byte> range = memory.WritableRange(address, length);
        return range.Length == length
            ? range
            : throw new InvalidOperationException($"The layout reaches beyond memory at 0x{address:x}.");
    }
}
