using CooperativeLinux.Processor.Decoding;
using Iced.Intel;

namespace CooperativeLinux.Processor.Analysis;

/// <summary>
/// Looks at the first instructions of branch targets in the block's own page, to find which flags they need. What was looked at
/// becomes part of the block's coverage, so that changing it drops the block.
/// </summary>
internal sealed unsafe class FlagLookahead
{
    private const int MaxInstructions = 6;

    private readonly InstructionPolicy _policy;
    private readonly PageReader _reader = new();
    private readonly Decoder _decoder;
    private byte* _page;
    private ulong _pageAddress;

    public FlagLookahead(InstructionPolicy policy)
    {
        _policy = policy;
        _decoder = Decoder.Create(64, _reader, InstructionPolicy.DecoderOptions);
    }

    /// <summary>Bytes of the page that the answers depend on, as (offset, length).</summary>
    public List<(int Offset, int Length)> Ranges { get; } = [];

    /// <summary>Begins a block in a page.</summary>
    /// <param name="page">Host address of the page.</param>
    /// <param name="pageAddress">Guest address of the page.</param>
    public void Begin(byte* page, ulong pageAddress)
    {
        _page = page;
        _pageAddress = pageAddress;
        Ranges.Clear();
    }

    /// <summary>Flags that code at an address needs; all of them where that is not known.</summary>
    public RflagsBits LiveAt(ulong address)
    {
        if ((address & ~0xFFFUL) != _pageAddress)
        {
            return FlagLiveness.Arithmetic;
        }

        int offset = (int)(address & 0xFFF);
        _reader.Set(_page + offset, 4096 - offset, null, 0);
        _decoder.IP = address;
        RflagsBits live = RflagsBits.None;
        RflagsBits open = FlagLiveness.Arithmetic;
        int length = 0;
        for (int i = 0; i < MaxInstructions && open != 0; i++)
        {
            _decoder.Decode(out Instruction instruction);
            if (_decoder.LastError == DecoderError.NoMoreBytes)
            {
                break;
            }

            length += instruction.Length;
            RflagsBits before = FlagLiveness.Before(instruction, _policy.Classify(instruction), RflagsBits.None);
            live |= before & open;
            RflagsBits after = FlagLiveness.Before(instruction, _policy.Classify(instruction), open);
            open &= after & ~live;
        }

        if (length > 0)
        {
            Ranges.Add((offset, length));
        }

        return live | open;
    }
}
