using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>The result of a run as the difference to its start, in bytes.</summary>
internal static class StateRecord
{
    private const int MergeGap = 6;

    /// <summary>A 64-bit name of a start state.</summary>
    public static ulong KeyOf(TestState start)
    {
        ulong key = Rng.Mix(start.Rip, start.Rflags, start.FsBase, start.GsBase, start.Mxcsr, start.UsesX87 ? 1ul : 0);
        key = Hash(key, MemoryMarshal.AsBytes<ulong>(start.Registers));
        key = Hash(key, start.Vectors);
        key = start.UsesX87 ? Hash(key, start.X87) : key;
        return Hash(key, start.Memory);
    }

    /// <summary>What a run changed.</summary>
    public static byte[] Encode(TestState start, TestState end)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write((byte)end.Outcome.Kind);
        writer.Write(end.Outcome.Vector);
        writer.Write(end.Outcome.ErrorCode);
        writer.Write(end.Outcome.Address);
        writer.Write(end.Rip);
        writer.Write(end.Rflags);
        writer.Write(end.Mxcsr);
        WriteDifferences(writer, MemoryMarshal.AsBytes<ulong>(start.Registers), MemoryMarshal.AsBytes<ulong>(end.Registers));
        WriteDifferences(writer, start.Vectors, end.Vectors);
        WriteDifferences(writer, start.X87, end.X87);
        WriteDifferences(writer, start.Memory, end.Memory);
        writer.Flush();
        return stream.ToArray();
    }

    /// <summary>Turns the start state into the end state.</summary>
    public static void Apply(byte[] record, TestState state)
    {
        using BinaryReader reader = new(new MemoryStream(record));
        OutcomeKind kind = (OutcomeKind)reader.ReadByte();
        state.Outcome = new Outcome(kind, reader.ReadByte(), reader.ReadUInt32(), reader.ReadUInt64());
        state.Rip = reader.ReadUInt64();
        state.Rflags = reader.ReadUInt64();
        state.Mxcsr = reader.ReadUInt32();
        ReadDifferences(reader, MemoryMarshal.AsBytes(state.Registers.AsSpan()));
        ReadDifferences(reader, state.Vectors);
        ReadDifferences(reader, state.X87);
        ReadDifferences(reader, state.Memory);
    }

    private static ulong Hash(ulong key, ReadOnlySpan<byte> bytes)
    {
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            key = (key ^ word) * 0x9E37_79B9_7F4A_7C15;
            key ^= key >> 29;
        }

        return key;
    }

    private static void WriteDifferences(BinaryWriter writer, ReadOnlySpan<byte> start, ReadOnlySpan<byte> end)
    {
        int i = 0;
        while (i < start.Length)
        {
            i += start[i..].CommonPrefixLength(end[i..]);
            if (i == start.Length)
            {
                break;
            }

            int last = i + 1;
            for (int scan = last; scan < start.Length && scan < last + MergeGap; scan++)
            {
                last = start[scan] == end[scan] ? last : scan + 1;
            }

            writer.Write(last - i);
            writer.Write(i);
            writer.Write(end[i..last]);
            i = last;
        }

        writer.Write(0);
    }

    private static void ReadDifferences(BinaryReader reader, Span<byte> bytes)
    {
        for (int length = reader.ReadInt32(); length != 0; length = reader.ReadInt32())
        {
            int start = reader.ReadInt32();
            reader.BaseStream.ReadExactly(bytes.Slice(start, length));
        }
    }
}
