using System.Buffers.Binary;
using System.Text;

namespace CooperativeLinux.Guests.Kernels;

/// <summary>What a kernel module says of itself in its ELF section <c>.modinfo</c>: <c>name=value</c> strings.</summary>
/// <param name="Dependencies">The modules it needs.</param>
/// <param name="SoftDependencies">Modules to load before it if they are there (<c>softdep=pre:</c>).</param>
/// <param name="Aliases">The device and service names it answers to.</param>
internal sealed record KernelModule(
    IReadOnlyList<string> Dependencies, IReadOnlyList<string> SoftDependencies, IReadOnlyList<string> Aliases)
{
    private const int SectionHeaderSize = 64;

    /// <summary>Modules are named with underscores, their files with either sign.</summary>
    public static string NormalizeName(string name)
    {
        return name.Replace('-', '_');
    }

    /// <summary>Reads a module's file (ELF64, little-endian; System V ABI, object files).</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static KernelModule Parse(ReadOnlySpan<byte> elf)
    {
        ReadOnlySpan<byte> info = FindModinfo(elf);
        List<string> dependencies = [];
        List<string> softDependencies = [];
        List<string> aliases = [];
        foreach (Range range in info.Split((byte)0))
        {
            string entry = Encoding.UTF8.GetString(info[range]);
            int equals = entry.IndexOf('=');
            string value = entry[(equals + 1)..];
            switch (equals < 0 ? "" : entry[..equals])
            {
                case "depends":
                    dependencies.AddRange(value.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(NormalizeName));
                    break;
                case "softdep":
                    softDependencies.AddRange(ParsePreDependencies(value).Select(NormalizeName));
                    break;
                case "alias":
                    aliases.Add(value);
                    break;
            }
        }

        return new KernelModule(dependencies, softDependencies, aliases);
    }

    private static IEnumerable<string> ParsePreDependencies(string text)
    {
        bool isPre = false;
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (word.EndsWith(':'))
            {
                isPre = word == "pre:";
            }
            else if (isPre)
            {
                yield return word;
            }
        }
    }

    private static ReadOnlySpan<byte> FindModinfo(ReadOnlySpan<byte> elf)
    {
        if (elf.Length < 64 || !elf.StartsWith("\u007fELF\u0002\u0001"u8))
        {
            throw new InvalidDataException("not a 64-bit ELF file");
        }

        try
        {
            int table = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(elf[0x28..]));
            int count = BinaryPrimitives.ReadUInt16LittleEndian(elf[0x3C..]);
            int nameSection = BinaryPrimitives.ReadUInt16LittleEndian(elf[0x3E..]);
            ReadOnlySpan<byte> names = Content(elf, table, nameSection);
            for (int i = 0; i < count; i++)
            {
                int name = (int)BinaryPrimitives.ReadUInt32LittleEndian(elf[(table + (i * SectionHeaderSize))..]);
                if (names[name..].StartsWith(".modinfo\0"u8))
                {
                    return Content(elf, table, i);
                }
            }
        }
        catch (Exception error) when (error is ArgumentOutOfRangeException or OverflowException)
        {
            throw new InvalidDataException("damaged ELF file", error);
        }

        throw new InvalidDataException("no .modinfo section");
    }

    private static ReadOnlySpan<byte> Content(ReadOnlySpan<byte> elf, int table, int index)
    {
        ReadOnlySpan<byte> header = elf.Slice(table + (index * SectionHeaderSize), SectionHeaderSize);
        int offset = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(header[0x18..]));
        int size = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(header[0x20..]));
        return elf.Slice(offset, size);
    }
}
