using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Conversion between the decoder's flag names and bits of rflags.</summary>
internal static class FlagMasks
{
    private static readonly (RflagsBits Name, ulong Bit)[] Bits =
    [
        (RflagsBits.CF, 1), (RflagsBits.PF, 4), (RflagsBits.AF, 0x10), (RflagsBits.ZF, 0x40), (RflagsBits.SF, 0x80), (RflagsBits.DF, 0x400), (RflagsBits.OF, 0x800),
    ];

    /// <summary>The rflags bits of a set of flags.</summary>
    public static ulong ToRflags(RflagsBits flags)
    {
        ulong mask = 0;
        foreach ((RflagsBits name, ulong bit) in Bits)
        {
            mask |= (flags & name) != 0 ? bit : 0;
        }

        return mask;
    }
}
