using System.Buffers.Binary;
using System.Text;

namespace CooperativeLinux.Monitor.Tests.Images;

/// <summary>Makes small x86-64 ELF kernels with the notes a test wants.</summary>
internal sealed class ElfBuilder
{
    /// <summary>Virtual base of the default kernel, as Linux has it.</summary>
    public const ulong LinuxBase = 0xffffffff80000000;

    private readonly List<(ulong Address, byte[] Bytes, ulong MemorySize)> _segments = [];
    private readonly List<(uint Type, byte[] Content)> _notes = [];

    public byte Class { get; set; } = 2;

    public ushort Machine { get; set; } = 62;

    public ulong Entry { get; set; }

    /// <summary>Whether the notes are in a program header.</summary>
    public bool HasNoteSegment { get; set; } = true;

    /// <summary>Whether the notes are in a section.</summary>
    public bool HasNoteSection { get; set; }

    /// <summary>Text of a __xen_guest section.</summary>
    public string? GuestString { get; set; }

    /// <summary>A kernel with the notes of Debian's: two segments at 16 MiB, of which the second has a .bss.</summary>
    public static ElfBuilder Linux() => new ElfBuilder()
        .Segment(0x1000000, Code(0x5123, 1), 0x5123)
        .Segment(0x1006000, Code(0x1800, 2), 0x4000)
        .Note(1, LinuxBase + 0x1000100)
        .Note(3, LinuxBase)
        .Note(4, 0)
        .Note(5, "xen-3.0")
        .Note(6, "linux")
        .Note(7, "2.6")
        .Note(8, "generic")
        .Note(10, "!writable_page_tables|pae_pgdir_above_4gb")
        .Note(14, 1u)
        .Note(15, 0x8000000000)
        .Note(16, 1u)
        .Note(17, 0x8801u);

    public static byte[] Code(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public ElfBuilder Segment(ulong address, byte[] bytes, ulong memorySize)
    {
        _segments.Add((address, bytes, memorySize));
        return this;
    }

    public ElfBuilder Note(uint type, ulong value) => Note(type, BitConverter.GetBytes(value));

    public ElfBuilder Note(uint type, uint value) => Note(type, BitConverter.GetBytes(value));

    public ElfBuilder Note(uint type, string value) => Note(type, Encoding.ASCII.GetBytes(value + '\0'));

    public ElfBuilder Note(uint type, byte[] content)
    {
        _notes.RemoveAll(note => note.Type == type);
        _notes.Add((type, content));
        return this;
    }

    public ElfBuilder WithoutNote(uint type)
    {
        _notes.RemoveAll(note => note.Type == type);
        return this;
    }

    public byte[] Build()
    {
        byte[] notes = NoteBytes();
        byte[] guest = Encoding.ASCII.GetBytes((GuestString ?? "") + '\0');
        byte[] names = Encoding.ASCII.GetBytes("\0.notes\0__xen_guest\0.shstrtab\0");
        List<(uint Type, ulong Offset, ulong Address, ulong FileSize, ulong MemorySize)> headers = [];
        int count = _segments.Count + (HasNoteSegment ? 1 : 0);
        ulong offset = 64 + ((ulong)count * 56);
        using MemoryStream content = new();
        foreach ((ulong address, byte[] bytes, ulong memorySize) in _segments)
        {
            headers.Add((1, offset + (ulong)content.Length, address, (ulong)bytes.Length, memorySize));
            content.Write(bytes);
        }

        ulong notesOffset = offset + (ulong)content.Length;
        content.Write(notes);
        ulong guestOffset = offset + (ulong)content.Length;
        content.Write(guest);
        ulong namesOffset = offset + (ulong)content.Length;
        content.Write(names);
        ulong sectionsOffset = offset + (ulong)content.Length;
        if (HasNoteSegment)
        {
            headers.Add((4, notesOffset, 0, (ulong)notes.Length, (ulong)notes.Length));
        }

        using MemoryStream file = new();
        using BinaryWriter writer = new(file);
        writer.Write([0x7f, (byte)'E', (byte)'L', (byte)'F', Class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        writer.Write((ushort)2);
        writer.Write(Machine);
        writer.Write(1u);
        writer.Write(Entry);
        writer.Write(64ul);
        writer.Write(sectionsOffset);
        writer.Write(0u);
        writer.Write((ushort)64);
        writer.Write((ushort)56);
        writer.Write((ushort)count);
        writer.Write((ushort)64);
        writer.Write((ushort)4);
        writer.Write((ushort)3);
        foreach ((uint type, ulong position, ulong address, ulong fileSize, ulong memorySize) in headers)
        {
            writer.Write(type);
            writer.Write(5u);
            writer.Write(position);
            writer.Write(0ul);
            writer.Write(address);
            writer.Write(fileSize);
            writer.Write(memorySize);
            writer.Write(4096ul);
        }

        writer.Write(content.ToArray());
        WriteSection(writer, 0, 0, 0, 0);
        WriteSection(writer, 1, HasNoteSection ? 7u : 1u, notesOffset, (ulong)notes.Length);
        WriteSection(writer, GuestString == null ? 0u : 8u, 1, guestOffset, (ulong)guest.Length);
        WriteSection(writer, 20, 3, namesOffset, (ulong)names.Length);
        writer.Flush();
        return file.ToArray();
    }

    private static void WriteSection(BinaryWriter writer, uint name, uint type, ulong offset, ulong size)
    {
        writer.Write(name);
        writer.Write(type);
        writer.Write(0ul);
        writer.Write(0ul);
        writer.Write(offset);
        writer.Write(size);
        writer.Write(new byte[24]);
    }

    private byte[] NoteBytes()
    {
        using MemoryStream output = new();
        Span<byte> header = stackalloc byte[12];
        foreach ((uint type, byte[] content) in _notes)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(header, 4);
            BinaryPrimitives.WriteUInt32LittleEndian(header[4..], (uint)content.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(header[8..], type);
            output.Write(header);
            output.Write("Xen\0"u8);
            output.Write(content);
            output.Write(new byte[-content.Length & 3]);
        }

        return output.ToArray();
    }
}
