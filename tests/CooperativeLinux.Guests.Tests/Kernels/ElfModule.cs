using System.Buffers.Binary;
using System.Text;

namespace CooperativeLinux.Guests.Tests.Kernels;

/// <summary>Makes the smallest ELF files that have a .modinfo section.</summary>
internal static class ElfModule
{
    public static byte[] Create(params string[] info)
    {
        byte[] names = "\0.shstrtab\0.modinfo\0"u8.ToArray();
        byte[] modinfo = Encoding.ASCII.GetBytes(string.Concat(info.Select(line => line + "\0")));
        int namesAt = 64;
        int infoAt = namesAt + names.Length;
        int table = (infoAt + modinfo.Length + 7) & ~7;
        byte[] file = new byte[table + (3 * 64)];
        "\u007fELF\u0002\u0001\u0001"u8.CopyTo(file);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(0x28), (ulong)table);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(0x3A), 64);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(0x3C), 3);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(0x3E), 1);
        names.CopyTo(file, namesAt);
        modinfo.CopyTo(file, infoAt);
        Section(1, 1, namesAt, names.Length);
        Section(2, 11, infoAt, modinfo.Length);
        return file;

        void Section(int index, int name, int offset, int size)
        {
            Span<byte> header = file.AsSpan(table + (index * 64));
            BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)name);
            BinaryPrimitives.WriteUInt64LittleEndian(header[0x18..], (ulong)offset);
            BinaryPrimitives.WriteUInt64LittleEndian(header[0x20..], (ulong)size);
        }
    }
}
