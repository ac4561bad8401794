using System.Buffers.Binary;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>How a run ended.</summary>
internal enum OutcomeKind
{
    NotRun,

    /// <summary>A processor exception. Every sequence that runs to its end meets an int3.</summary>
    Exception,

    /// <summary>Still running after the watchdog's time.</summary>
    TimedOut,

    /// <summary>The translator handed an instruction to its environment.</summary>
    SystemInstruction,

    /// <summary>The translator reported a syscall instruction.</summary>
    Syscall,

    /// <summary>The runner itself failed.</summary>
    Broken,
}

/// <summary>The end of a run.</summary>
internal readonly record struct Outcome(OutcomeKind Kind, byte Vector = 0, uint ErrorCode = 0, ulong Address = 0)
{
    public override string ToString() => Kind == OutcomeKind.Exception ? $"#{Vector} error {ErrorCode:x} address {Address:x}" : Kind.ToString();
}

/// <summary>Everything a sequence of user-mode instructions can see and change.</summary>
internal sealed class TestState
{
    /// <summary>rflags bits that are set for every user program: bit 1 and IF.</summary>
    public const ulong FixedFlags = 0x202;

    public const int X87Size = 512;

    /// <summary>General registers in x86 encoding order.</summary>
    public ulong[] Registers { get; } = new ulong[16];

    public ulong Rip { get; set; }

    public ulong Rflags { get; set; } = FixedFlags;

    public ulong FsBase { get; set; }

    public ulong GsBase { get; set; }

    public uint Mxcsr { get; set; } = 0x1F80;

    /// <summary>ymm0 … ymm15.</summary>
    public byte[] Vectors { get; } = new byte[16 * 32];

    /// <summary>Whether <see cref="X87"/> is loaded before and stored after the run.</summary>
    public bool UsesX87 { get; set; }

    /// <summary>The x87/MMX state as a 64-bit fxsave image; its mxcsr and xmm parts are not used.</summary>
    public byte[] X87 { get; } = CreateX87();

    /// <summary>The present pages of <see cref="TestLayout"/>, in order.</summary>
    public byte[] Memory { get; } = new byte[TestLayout.MemorySize];

    public Outcome Outcome { get; set; }

    public void CopyFrom(TestState other)
    {
        other.Registers.CopyTo(Registers, 0);
        Rip = other.Rip;
        Rflags = other.Rflags;
        FsBase = other.FsBase;
        GsBase = other.GsBase;
        Mxcsr = other.Mxcsr;
        other.Vectors.CopyTo(Vectors, 0);
        UsesX87 = other.UsesX87;
        other.X87.CopyTo(X87, 0);
        other.Memory.CopyTo(Memory, 0);
        Outcome = other.Outcome;
    }

    /// <summary>Whether the other state is the same in everything a run can change.</summary>
    public bool HasSameContent(TestState other) =>
        Registers.AsSpan().SequenceEqual(other.Registers)
        && (Rip, Rflags, Mxcsr, Outcome) == (other.Rip, other.Rflags, other.Mxcsr, other.Outcome)
        && Vectors.AsSpan().SequenceEqual(other.Vectors)
        && X87.AsSpan().SequenceEqual(other.X87)
        && Memory.AsSpan().SequenceEqual(other.Memory);

    /// <summary>Writes to memory whatever its protection; bytes that fall on absent pages are left out.</summary>
    public void Write(ulong address, ReadOnlySpan<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            int index = TestLayout.MemoryIndex(address + (ulong)i);
            if (index >= 0)
            {
                Memory[index] = bytes[i];
            }
        }
    }

    public void Write64(ulong address, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Write(address, bytes);
    }

    /// <summary>Reads memory; bytes on absent pages read as zero.</summary>
    public void Read(ulong address, Span<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            int index = TestLayout.MemoryIndex(address + (ulong)i);
            bytes[i] = index < 0 ? (byte)0 : Memory[index];
        }
    }

    public ulong Read64(ulong address)
    {
        Span<byte> bytes = stackalloc byte[8];
        Read(address, bytes);
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }

    private static byte[] CreateX87()
    {
        byte[] image = new byte[X87Size];
        BinaryPrimitives.WriteUInt16LittleEndian(image, 0x37F);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(24), 0x1F80);
        return image;
    }
}
