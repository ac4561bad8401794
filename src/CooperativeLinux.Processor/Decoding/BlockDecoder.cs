using Iced.Intel;

namespace CooperativeLinux.Processor.Decoding;

/// <summary>One decoded guest instruction and what analysis found out about it.</summary>
internal struct DecodedInstruction
{
    public Instruction Instruction;
    public Handling Handling;

    /// <summary>Distance from the block's start.</summary>
    public ushort Offset;

    /// <summary>Arithmetic flags (Iced bits) whose values before the instruction are still needed.</summary>
    public RflagsBits LiveFlags;

    /// <summary>Those of them that the block or a direct exit reads. The others only leave it by an indirect branch.</summary>
    public RflagsBits ReadFlags;

    /// <summary>Stack group that covers the instruction's accesses relative to rsp, or -1.</summary>
    public short StackGroup;

    /// <summary>The memory operand is [rsp+disp] inside the stack group.</summary>
    public bool StackOperand;

    /// <summary>Base group that covers the memory operand, or -1.</summary>
    public short BaseGroup;
}

/// <summary>Decodes guest bytes into the instructions of a block.</summary>
internal sealed unsafe class BlockDecoder
{
    private readonly PageReader _reader = new();
    private readonly Decoder _decoder;
    private readonly InstructionPolicy _policy;

    public BlockDecoder(InstructionPolicy policy)
    {
        _policy = policy;
        _decoder = Decoder.Create(64, _reader, InstructionPolicy.DecoderOptions);
    }

    public DecodedInstruction[] Instructions { get; } = new DecodedInstruction[256];

    public int Count { get; private set; }

    /// <summary>Guest bytes decoded.</summary>
    public int Length { get; private set; }

    /// <summary>The first instruction does not end within the bytes given.</summary>
    public bool NeedsMoreBytes { get; private set; }

    /// <summary>Decodes up to <paramref name="limit"/> instructions, stopping behind the first that ends a block.</summary>
    /// <param name="first">Bytes at <paramref name="address"/>.</param>
    /// <param name="second">Bytes of the next page, used by a crossing first instruction; may be null.</param>
    public void Decode(byte* first, int firstLength, byte* second, ulong address, int limit)
    {
        _reader.Set(first, firstLength, second, second == null ? 0 : 16);
        _decoder.IP = address;
        Count = 0;
        Length = 0;
        NeedsMoreBytes = false;
        while (Count < limit)
        {
            ref DecodedInstruction decoded = ref Instructions[Count];
            decoded = default;
            decoded.StackGroup = -1;
            decoded.BaseGroup = -1;
            _decoder.Decode(out decoded.Instruction);
            if (_decoder.LastError == DecoderError.NoMoreBytes)
            {
                NeedsMoreBytes = Count == 0 && second == null;
                if (Count > 0 || NeedsMoreBytes)
                {
                    return;
                }
            }

            decoded.Offset = (ushort)Length;
            decoded.Handling = _policy.Classify(decoded.Instruction);
            Length += decoded.Instruction.Length;
            if (Length > firstLength && Count > 0)
            {
                Length -= decoded.Instruction.Length;
                return;
            }

            Count++;
            if (EndsBlock(decoded.Handling))
            {
                return;
            }
        }
    }

    /// <summary>Whether nothing of the same block can follow.</summary>
    public static bool EndsBlock(Handling handling) => handling is Handling.Undefined or Handling.Call or Handling.Jump or Handling.Return
        or Handling.Loop or Handling.Syscall or Handling.Breakpoint or Handling.Environment;
}
