using System.Buffers.Binary;

namespace CooperativeLinux.Monitor.Images;

/// <summary>
/// A checked view of a 64-bit little-endian x86-64 ELF executable: program headers, section headers and notes. Every
/// offset and size in it is untrusted. Layout: System V ABI, ELF-64 object file format.
/// </summary>
internal sealed class ElfFile
{
    /// <summary>Program header type: part of the loaded image.</summary>
    public const uint LoadSegment = 1;

    /// <summary>Program header type: notes.</summary>
    public const uint NoteSegment = 4;

    private const int HeaderLength = 64;
    private const int ProgramHeaderLength = 56;
    private const int SectionHeaderLength = 64;
    private const int NoteHeaderLength = 12;
    private const uint NoteSection = 7;
    private const uint SectionWithoutBytes = 8;
    private const ushort Executable = 2;
    private const ushort SharedObject = 3;
    private const ushort MachineX86 = 3;
    private const ushort MachineX64 = 62;

    private readonly ReadOnlyMemory<byte> _file;

    private ElfFile(ReadOnlyMemory<byte> file)
    {
        _file = file;
        ReadOnlySpan<byte> header = file.Span;
        Entry = BinaryPrimitives.ReadUInt64LittleEndian(header[24..]);
        Segments = ReadSegments(header);
        Sections = ReadSections(header);
    }

    /// <summary>First four bytes.</summary>
    public static ReadOnlySpan<byte> Magic => [0x7f, (byte)'E', (byte)'L', (byte)'F'];

    /// <summary>The entry point of the header.</summary>
    public ulong Entry { get; }

    /// <summary>All program headers.</summary>
    public IReadOnlyList<ElfSegment> Segments { get; }

    /// <summary>All section headers; none if the table is missing or damaged, as kernels run without it.</summary>
    public IReadOnlyList<ElfSection> Sections { get; }

    /// <summary>Reads the headers.</summary>
    /// <exception cref="InvalidImageException">No such ELF file, or truncated.</exception>
    public static ElfFile Parse(ReadOnlyMemory<byte> file)
    {
        ReadOnlySpan<byte> header = file.Span;
        if (!header.StartsWith(Magic))
        {
            throw new InvalidImageException("the unpacked kernel is not an ELF file");
        }

        if (header.Length < HeaderLength)
        {
            throw new InvalidImageException("the kernel image is truncated");
        }

        ushort type = BinaryPrimitives.ReadUInt16LittleEndian(header[16..]);
        ushort machine = BinaryPrimitives.ReadUInt16LittleEndian(header[18..]);
        bool is64 = header[4] == 2 && header[5] == 1;
        if (machine == MachineX86 && header[4] == 1)
        {
            throw new InvalidImageException($"the kernel is a 32-bit one and {KernelImage.NoPvEntry}");
        }

        if (!is64 || machine != MachineX64 || type is not (Executable or SharedObject))
        {
            throw new InvalidImageException("the ELF file is not an x86-64 kernel");
        }

        return new ElfFile(file);
    }

    /// <summary>Bytes of the file; empty where a part is outside.</summary>
    public ReadOnlyMemory<byte> Bytes(ulong offset, ulong length)
    {
        ulong size = (ulong)_file.Length;
        return offset > size || length > size - offset ? default : _file.Slice((int)offset, (int)length);
    }

    /// <summary>Calls back for all notes of an owner in the PT_NOTE segments.</summary>
    public void ReadSegmentNotes(ReadOnlySpan<byte> owner, Action<uint, ReadOnlyMemory<byte>> found)
    {
        foreach (ElfSegment segment in Segments)
        {
            if (segment.Type == NoteSegment)
            {
                ReadNotes(Bytes(segment.Offset, segment.FileSize), owner, found);
            }
        }
    }

    /// <summary>Calls back for all notes of an owner in the SHT_NOTE sections.</summary>
    public void ReadSectionNotes(ReadOnlySpan<byte> owner, Action<uint, ReadOnlyMemory<byte>> found)
    {
        foreach (ElfSection section in Sections)
        {
            if (section.Type == NoteSection)
            {
                ReadNotes(Bytes(section.Offset, section.Size), owner, found);
            }
        }
    }

    /// <summary>Bytes of the first section with a name; empty if there is none.</summary>
    public ReadOnlyMemory<byte> SectionBytes(ReadOnlySpan<byte> name)
    {
        foreach (ElfSection section in Sections)
        {
            if (section.Type != SectionWithoutBytes && NameOf(section).SequenceEqual(name))
            {
                return Bytes(section.Offset, section.Size);
            }
        }

        return default;
    }

    private static void ReadNotes(
        ReadOnlyMemory<byte> notes, ReadOnlySpan<byte> owner, Action<uint, ReadOnlyMemory<byte>> found)
    {
        while (notes.Length >= NoteHeaderLength)
        {
            ReadOnlySpan<byte> header = notes.Span;
            uint nameLength = BinaryPrimitives.ReadUInt32LittleEndian(header);
            uint contentLength = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
            uint type = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
            ulong content = NoteHeaderLength + AlignUp(nameLength);
            if (content + contentLength > (ulong)notes.Length)
            {
                return;
            }

            if (header.Slice(NoteHeaderLength, (int)nameLength).TrimEnd((byte)0).SequenceEqual(owner))
            {
                found(type, notes.Slice((int)content, (int)contentLength));
            }

            notes = notes[(int)Math.Min(content + AlignUp(contentLength), (ulong)notes.Length)..];
        }
    }

    private static ulong AlignUp(ulong value) => (value + 3) & ~3ul;

    private static ElfSegment[] ReadSegments(ReadOnlySpan<byte> file)
    {
        ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(file[32..]);
        ushort size = BinaryPrimitives.ReadUInt16LittleEndian(file[54..]);
        ushort count = BinaryPrimitives.ReadUInt16LittleEndian(file[56..]);
        if (count != 0 && size < ProgramHeaderLength)
        {
            throw new InvalidImageException("the kernel image has bad program headers");
        }

        ulong length = (ulong)file.Length;
        if (offset > length || (ulong)count * size > length - offset)
        {
            throw new InvalidImageException("the kernel image is truncated");
        }

        ElfSegment[] segments = new ElfSegment[count];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> entry = file[((int)offset + (i * size))..];
            segments[i] = new ElfSegment(
                BinaryPrimitives.ReadUInt32LittleEndian(entry),
                BinaryPrimitives.ReadUInt64LittleEndian(entry[8..]),
                BinaryPrimitives.ReadUInt64LittleEndian(entry[24..]),
                BinaryPrimitives.ReadUInt64LittleEndian(entry[32..]),
                BinaryPrimitives.ReadUInt64LittleEndian(entry[40..]));
        }

        return segments;
    }

    private static ElfSection[] ReadSections(ReadOnlySpan<byte> file)
    {
        ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(file[40..]);
        ushort size = BinaryPrimitives.ReadUInt16LittleEndian(file[58..]);
        ushort count = BinaryPrimitives.ReadUInt16LittleEndian(file[60..]);
        ulong length = (ulong)file.Length;
        if (size < SectionHeaderLength || offset > length || (ulong)count * size > length - offset)
        {
            return [];
        }

        ElfSection[] sections = new ElfSection[count];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> entry = file[((int)offset + (i * size))..];
            sections[i] = new ElfSection(
                BinaryPrimitives.ReadUInt32LittleEndian(entry),
                BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]),
                BinaryPrimitives.ReadUInt64LittleEndian(entry[24..]),
                BinaryPrimitives.ReadUInt64LittleEndian(entry[32..]));
        }

        return sections;
    }

    private ReadOnlySpan<byte> NameOf(ElfSection section)
    {
        ushort index = BinaryPrimitives.ReadUInt16LittleEndian(_file.Span[62..]);
        if (index >= Sections.Count)
        {
            return default;
        }

        ReadOnlySpan<byte> names = Bytes(Sections[index].Offset, Sections[index].Size).Span;
        if (section.Name >= names.Length)
        {
            return default;
        }

        names = names[(int)section.Name..];
        int end = names.IndexOf((byte)0);
        return end < 0 ? default : names[..end];
    }
}

/// <summary>A program header: type, position in the file, physical address, bytes in the file and in memory.</summary>
internal readonly record struct ElfSegment(
    uint Type, ulong Offset, ulong PhysicalAddress, ulong FileSize, ulong MemorySize);

/// <summary>A section header: offset of the name, type, position in the file, bytes.</summary>
internal readonly record struct ElfSection(uint Name, uint Type, ulong Offset, ulong Size);
