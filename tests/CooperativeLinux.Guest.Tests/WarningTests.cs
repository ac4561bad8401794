using System.Buffers.Binary;
using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>What a guest does that does not exist here is told once, on standard error.</summary>
public sealed class WarningTests
{
    [Fact]
    public void Program_UsingAnInstructionNotOffered_GetsASignalAndIsNamedOnce()
    {
        // vpxord zmm1, zmm2, zmm3: AVX-512, which no guest is offered.
        byte[] program = Program([0x62, 0xf1, 0x6d, 0x48, 0xef, 0xcb]);
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M");
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        colinux.Type($"printf '{string.Concat(program.Select(value => $"\\{Convert.ToString(value, 8).PadLeft(3, '0')}"))}' > /tmp/wide; chmod +x /tmp/wide\n");
        colinux.Type("/tmp/wide; echo first $?; /tmp/wide; echo second $?; exit\n");

        (position, _) = colinux.WaitFor("first 132", position);
        colinux.WaitFor("second 132", position);
        Assert.Equal(0, colinux.WaitForExit());
        Assert.Equal("colinux: a program in the guest used the instruction Vpxord, which this processor does not offer (at 0x400078)\n", colinux.Errors);
    }

    /// <summary>The smallest ELF program that the kernel runs: one segment at 0x400000 with the headers and the code.</summary>
    private static byte[] Program(byte[] code)
    {
        const int HeaderSize = 64, SegmentSize = 56;
        const ulong Base = 0x40_0000;
        byte[] file = new byte[HeaderSize + SegmentSize + code.Length];
        byte[] identification = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1];
        identification.CopyTo(file, 0);
        Span<byte> header = file;
        BinaryPrimitives.WriteUInt16LittleEndian(header[16..], 2);
        BinaryPrimitives.WriteUInt16LittleEndian(header[18..], 62);
        BinaryPrimitives.WriteUInt32LittleEndian(header[20..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Base + HeaderSize + SegmentSize);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], HeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header[52..], HeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header[54..], SegmentSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header[56..], 1);
        Span<byte> segment = header[HeaderSize..];
        BinaryPrimitives.WriteUInt32LittleEndian(segment, 1);
        BinaryPrimitives.WriteUInt32LittleEndian(segment[4..], 5);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[16..], Base);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[32..], (ulong)file.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[40..], (ulong)file.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(segment[48..], 0x1000);
        code.CopyTo(file, HeaderSize + SegmentSize);
        return file;
    }
}
