using CooperativeLinux.Host.Memory;
using CooperativeLinux.Monitor.Images.Compression;

namespace CooperativeLinux.Monitor.Images;

/// <summary>
/// An unpacked PV kernel: what to load where, and what its Xen notes say. All addresses in it have been checked
/// against each other.
/// </summary>
public sealed class KernelImage
{
    /// <summary>Largest kernel file accepted, in bytes.</summary>
    public const int MaximumFileSize = 512 << 20;

    /// <summary>Why a kernel without PV support is refused.</summary>
    internal const string NoPvEntry = "has no Xen PV entry (CONFIG_XEN_PV); use a Debian amd64 or cloud kernel";

    /// <summary>Highest pseudo-physical address a kernel may ask for: the memory of the largest machine.</summary>
    private const ulong MaximumPhysical = 64ul << 30;

    private const ulong PageMask = 4095;

    private KernelImage(XenNotes notes, IReadOnlyList<KernelSegment> segments, ulong start, ulong end)
    {
        Notes = notes;
        Segments = segments;
        PhysicalStart = start;
        PhysicalEnd = end;
    }

    /// <summary>The kernel's Xen notes.</summary>
    public XenNotes Notes { get; }

    /// <summary>What to load, in the order of the file.</summary>
    public IReadOnlyList<KernelSegment> Segments { get; }

    /// <summary>Pseudo-physical address of the lowest byte.</summary>
    public ulong PhysicalStart { get; }

    /// <summary>Pseudo-physical address behind the highest byte.</summary>
    public ulong PhysicalEnd { get; }

    /// <summary>Loads a kernel from a file: a bzImage, or an ELF file that may be packed with gzip.</summary>
    /// <exception cref="InvalidImageException">The file cannot be read or is no usable kernel; the message starts
    /// with the path.</exception>
    public static KernelImage Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            return Load(ReadFile(path));
        }
        catch (InvalidImageException exception)
        {
            throw new InvalidImageException($"{path}: {exception.Message}", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            string reason = exception switch
            {
                FileNotFoundException or DirectoryNotFoundException => "no such file",
                UnauthorizedAccessException => Directory.Exists(path) ? "it is a folder" : "access denied",
                _ => exception.Message.ReplaceLineEndings(" "),
            };
            throw new InvalidImageException($"{path}: cannot read the kernel: {reason}", exception);
        }
    }

    /// <summary>Loads a kernel from the bytes of its file; the segments may refer to them afterwards.</summary>
    /// <exception cref="InvalidImageException">They are no usable kernel.</exception>
    public static KernelImage Load(ReadOnlyMemory<byte> file)
    {
        ReadOnlySpan<byte> bytes = file.Span;
        if (bytes.StartsWith(GzipDecoder.Magic))
        {
            file = GzipDecoder.Decode(bytes, BzImage.MaximumUnpacked);
            bytes = file.Span;
        }

        if (BzImage.IsBzImage(bytes))
        {
            file = BzImage.Unpack(file);
        }
        else if (!bytes.StartsWith(ElfFile.Magic))
        {
            throw new InvalidImageException("not a kernel: neither a Linux bzImage nor an ELF file");
        }

        return FromElf(ElfFile.Parse(file));
    }

    private static byte[] ReadFile(string path)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 0);
        if (stream.Length > MaximumFileSize)
        {
            throw new InvalidImageException($"not a kernel: it has {stream.Length} bytes");
        }

        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)stream.Length);
        HostAllocation.ExpectFill(bytes);
        int length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        return length == bytes.Length ? bytes : bytes[..length];
    }

    private static KernelImage FromElf(ElfFile elf)
    {
        XenNotes notes = XenNotesReader.Read(elf);
        List<KernelSegment> segments = [];
        ulong start = ulong.MaxValue;
        ulong end = 0;
        foreach (ElfSegment segment in elf.Segments)
        {
            if (segment.Type != ElfFile.LoadSegment || segment.MemorySize == 0)
            {
                continue;
            }

            ulong address = segment.PhysicalAddress - notes.PhysicalOffset;
            if (segment.PhysicalAddress < notes.PhysicalOffset
                || segment.FileSize > segment.MemorySize
                || segment.MemorySize > MaximumPhysical
                || address > MaximumPhysical - segment.MemorySize)
            {
                throw new InvalidImageException("the kernel has a load segment with bad addresses");
            }

            ReadOnlyMemory<byte> bytes = elf.Bytes(segment.Offset, segment.FileSize);
            if ((ulong)bytes.Length != segment.FileSize)
            {
                throw new InvalidImageException("the kernel image is truncated");
            }

            segments.Add(new KernelSegment(address, bytes, segment.MemorySize));
            start = Math.Min(start, address);
            end = Math.Max(end, address + segment.MemorySize);
        }

        if (segments.Count == 0)
        {
            throw new InvalidImageException("the kernel has nothing to load");
        }

        CheckOverlaps(segments);
        CheckAddresses(notes, start, end);
        return new KernelImage(notes, segments, start, end);
    }

    private static void CheckOverlaps(List<KernelSegment> segments)
    {
        ulong end = 0;
        foreach (KernelSegment segment in segments.OrderBy(segment => segment.PhysicalAddress))
        {
            if (segment.PhysicalAddress < end)
            {
                throw new InvalidImageException("the kernel has load segments that overlap");
            }

            end = segment.PhysicalAddress + segment.MemorySize;
        }
    }

    private static void CheckAddresses(XenNotes notes, ulong start, ulong end)
    {
        if ((notes.VirtualBase & PageMask) != 0)
        {
            throw new InvalidImageException($"the kernel's virtual base 0x{notes.VirtualBase:x} is not page aligned");
        }

        ulong entry = unchecked(notes.Entry - notes.VirtualBase);
        if (entry < start || entry >= end)
        {
            throw new InvalidImageException($"the kernel's PV entry 0x{notes.Entry:x} is outside what it loads");
        }

        if (notes.HypercallPage is ulong page)
        {
            ulong address = unchecked(page - notes.VirtualBase);
            if ((page & PageMask) != 0 || address < (start & ~PageMask) || address >= end)
            {
                throw new InvalidImageException($"the kernel's hypercall page 0x{page:x} is outside what it loads");
            }
        }
    }
}
