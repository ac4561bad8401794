using System.Buffers.Binary;
using CooperativeLinux.Host.Faults;
using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Host.Tests.Faults;

/// <summary>
/// Code that sets up registers and flags, runs a snippet with rax = argument, and returns 0; or, where it faults, saves the registers
/// and flags it resumed with and returns 1.
/// </summary>
internal sealed unsafe class FaultHarness : IDisposable
{
    public const ulong Pattern = 0x1111_1111_1111_1111;

    // Data: the record at 0, saved registers from 64, argument block from 256.
    private const int SavedOffset = 64;
    private const int ControlOffset = 192;
    public const int ArgumentOffset = 256;
    private const uint DefaultMxcsr = 0x1F80;

    private readonly FaultDoor _door;
    private int _length;

    public FaultHarness(params byte[] snippet)
    {
        Memory = CodeMemory.Create(4096, 4096);
        *(uint*)(Memory.Data + ControlOffset) = DefaultMxcsr;

        Emit(0x48, 0x89, OperatingSystem.IsWindows() ? (byte)0xC8 : (byte)0xF8); // mov rax, first argument
        EmitPattern(0x48, 0xB9, 1);                                              // mov rcx, pattern
        EmitPattern(0x48, 0xBA, 2);                                              // mov rdx
        EmitPattern(0x49, 0xB8, 3);                                              // mov r8
        EmitPattern(0x49, 0xB9, 4);                                              // mov r9
        EmitPattern(0x49, 0xBA, 5);                                              // mov r10
        EmitPattern(0x49, 0xBB, 6);                                              // mov r11
        Emit(0x66, 0x48, 0x0F, 0x6E, 0xE9);                                      // movq xmm5, rcx
        Emit(0xF9);                                                              // stc
        SnippetOffset = _length;
        Emit(snippet);
        Emit(0x31, 0xC0, 0xC3);                                                  // xor eax, eax; ret

        int resume = _length;
        Emit(0x9C, 0x8F, 0x05);                                                  // pushfq; pop [flags]
        EmitDataDisplacement(SavedOffset);
        EmitSave(0x48, 0x0D, 1);                                                 // mov [saved], rcx
        EmitSave(0x48, 0x15, 2);
        EmitSave(0x4C, 0x05, 3);
        EmitSave(0x4C, 0x0D, 4);
        EmitSave(0x4C, 0x15, 5);
        EmitSave(0x4C, 0x1D, 6);
        Emit(0x66, 0x0F, 0xD6, 0x2D);                                            // movq [saved], xmm5
        EmitDataDisplacement(SavedOffset + (7 * 8));
        Emit(0x0F, 0xAE, 0x15);                                                  // ldmxcsr [control]
        EmitDataDisplacement(ControlOffset);
        Emit(0xDB, 0xE3);                                                        // fninit
        Emit(0xB8, 1, 0, 0, 0, 0xC3);                                            // mov eax, 1; ret
        _door = FaultDoor.Register(Memory, (FaultRecord*)Memory.Data, Memory.Code + resume);
    }

    public CodeMemory Memory { get; }

    public ref FaultRecord Record => ref *(FaultRecord*)Memory.Data;

    public int SnippetOffset { get; }

    /// <summary>Offset of the faulting instruction in the snippet.</summary>
    public long FaultOffset => (long)Record.Rip - (long)Memory.Code - SnippetOffset;

    /// <summary>rflags, rcx, rdx, r8 to r11, xmm5 as the resumed code found them.</summary>
    public ReadOnlySpan<ulong> Saved => new(Memory.Data + SavedOffset, 8);

    /// <summary>Runs it.</summary>
    /// <returns>Whether it faulted.</returns>
    public bool Run(ulong argument) => ((delegate* unmanaged<ulong, ulong>)Memory.Code)(argument) != 0;

    public void Dispose()
    {
        _door.Dispose();
        Memory.Dispose();
    }

    private void Emit(params ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(new Span<byte>(Memory.CodeWritable + _length, bytes.Length));
        _length += bytes.Length;
    }

    private void EmitPattern(byte prefix, byte opcode, uint multiple)
    {
        Emit(prefix, opcode);
        BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(Memory.CodeWritable + _length, 8), Pattern * multiple);
        _length += 8;
    }

    private void EmitSave(byte prefix, byte modRm, int slot)
    {
        Emit(prefix, 0x89, modRm);
        EmitDataDisplacement(SavedOffset + (slot * 8));
    }

    private void EmitDataDisplacement(int offset)
    {
        long target = Memory.Data + offset - (Memory.Code + _length + 4);
        BinaryPrimitives.WriteInt32LittleEndian(new Span<byte>(Memory.CodeWritable + _length, 4), checked((int)target));
        _length += 4;
    }
}
