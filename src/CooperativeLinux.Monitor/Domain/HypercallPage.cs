using System.Buffers.Binary;

namespace CooperativeLinux.Monitor.Domain;

/// <summary>The page of hypercall stubs that kernels before Linux 6.1.123 and other systems call into.</summary>
public static class HypercallPage
{
    private const int StubSize = 32;
    private const uint StubCount = 128;
    private const uint IretHypercall = 23;
    private const byte Breakpoint = 0xcc;

    // push rcx; push r11; mov eax, ...; the syscall instruction destroys rcx and r11.
    private static ReadOnlySpan<byte> SaveAndLoad => [0x51, 0x41, 0x53, 0xb8];

    // push rcx; push r11; push rax; mov eax, ...: what iret takes from the stack has rax below the other two.
    private static ReadOnlySpan<byte> SaveAllAndLoad => [0x51, 0x41, 0x53, 0x50, 0xb8];

    // syscall; pop r11; pop rcx; ret
    private static ReadOnlySpan<byte> CallAndReturn => [0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3];

    // syscall; iret does not return.
    private static ReadOnlySpan<byte> CallOnly => [0x0f, 0x05];

    /// <summary>Fills a page.</summary>
    /// <param name="page">4096 bytes.</param>
    public static void Write(Span<byte> page)
    {
        page.Fill(Breakpoint);
        for (uint number = 0; number < StubCount; number++)
        {
            bool isIret = number == IretHypercall;
            ReadOnlySpan<byte> start = isIret ? SaveAllAndLoad : SaveAndLoad;
            Span<byte> stub = page.Slice((int)number * StubSize, StubSize);
            start.CopyTo(stub);
            BinaryPrimitives.WriteUInt32LittleEndian(stub[start.Length..], number);
            (isIret ? CallOnly : CallAndReturn).CopyTo(stub[(start.Length + sizeof(uint))..]);
        }
    }
}
