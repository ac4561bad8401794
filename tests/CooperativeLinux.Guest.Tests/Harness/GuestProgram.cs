using System.Buffers.Binary;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>Small programs for guests that have no compiler.</summary>
internal static class GuestProgram
{
    private const ulong Base = 0x40_0000;
    private const int HeaderSize = 64, SegmentSize = 56;

    /// <summary>The smallest ELF program that the kernel runs: one segment with the headers and the code.</summary>
    /// <param name="code">Machine code; it begins at <see cref="Entry"/>.</param>
    public static byte[] Create(byte[] code)
    {
        byte[] file = new byte[HeaderSize + SegmentSize + code.Length];
        byte[] identification = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1];
        identification.CopyTo(file, 0);
        Span<byte> header = file;
        BinaryPrimitives.WriteUInt16LittleEndian(header[16..], 2);
        BinaryPrimitives.WriteUInt16LittleEndian(header[18..], 62);
        BinaryPrimitives.WriteUInt32LittleEndian(header[20..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Entry);
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

    /// <summary>Guest address of the first instruction.</summary>
    public static ulong Entry => Base + HeaderSize + SegmentSize;

    /// <summary>A program that sends every datagram back to where it came from.</summary>
    /// <param name="port">Its UDP port, on all addresses.</param>
    public static byte[] CreateDatagramEcho(ushort port)
    {
        const int Socket = 41, SendTo = 44, ReceiveFrom = 45, Bind = 49;
        const int Internet = 2, Datagrams = 2, AddressLength = 16, MaxDatagram = 2048;

        // On the stack: the address, its length, and the datagram.
        const int Length = 16, Datagram = 32;
        Assembler code = new(64);
        code.mov(edi, Internet);
        code.mov(esi, Datagrams);
        code.xor(edx, edx);
        code.mov(eax, Socket);
        code.syscall();
        code.mov(ebx, eax);
        code.sub(rsp, Datagram + MaxDatagram);
        code.mov(rcx, Internet | ((ulong)BinaryPrimitives.ReverseEndianness(port) << 16));
        code.mov(__qword_ptr[rsp], rcx);
        code.mov(__qword_ptr[rsp + 8], 0);
        code.mov(edi, ebx);
        code.mov(rsi, rsp);
        code.mov(edx, AddressLength);
        code.mov(eax, Bind);
        code.syscall();
        Label next = code.CreateLabel();
        code.Label(ref next);
        code.mov(__qword_ptr[rsp + Length], AddressLength);
        code.mov(edi, ebx);
        code.lea(rsi, __[rsp + Datagram]);
        code.mov(edx, MaxDatagram);
        code.xor(r10d, r10d);
        code.mov(r8, rsp);
        code.lea(r9, __[rsp + Length]);
        code.mov(eax, ReceiveFrom);
        code.syscall();
        code.mov(rdx, rax);
        code.mov(edi, ebx);
        code.lea(rsi, __[rsp + Datagram]);
        code.xor(r10d, r10d);
        code.mov(r8, rsp);
        code.mov(r9d, AddressLength);
        code.mov(eax, SendTo);
        code.syscall();
        code.jmp(next);
        using MemoryStream stream = new();
        code.Assemble(new StreamCodeWriter(stream), Entry);
        return Create(stream.ToArray());
    }

    /// <summary>A shell command that writes a program to a file of the guest.</summary>
    public static string Write(byte[] program, string path) =>
        $"printf '{string.Concat(program.Select(value => $"\\{Convert.ToString(value, 8).PadLeft(3, '0')}"))}' > {path}; chmod +x {path}";
}
