namespace CooperativeLinux.Monitor.Time;

/// <summary>How counter ticks become nanoseconds: ((ticks shifted left by Shift, right if negative) × Multiplier) / 2^32.</summary>
/// <param name="Multiplier">Fraction of 2^32.</param>
/// <param name="Shift">Left shift; negative: right.</param>
public readonly record struct TscScale(uint Multiplier, sbyte Shift)
{
    private const ulong Giga = 1_000_000_000;

    /// <summary>The scale of a counter's rate, such that the multiplier uses all its bits.</summary>
    /// <param name="kilohertz">Ticks per millisecond, at least 1.</param>
    public static TscScale FromKilohertz(ulong kilohertz)
    {
        ArgumentOutOfRangeException.ThrowIfZero(kilohertz);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(kilohertz, ulong.MaxValue / 1000);
        ulong rate = kilohertz * 1000;
        sbyte shift = 0;
        while (rate > 2 * Giga)
        {
            rate /= 2;
            shift--;
        }

        while (rate <= Giga)
        {
            rate *= 2;
            shift++;
        }

        return new TscScale((uint)((Giga << 32) / rate), shift);
    }

    /// <summary>Nanoseconds in a number of ticks, computed exactly as the guest does.</summary>
    public ulong ToNanoseconds(ulong ticks)
    {
        ulong shifted = Shift >= 0 ? ticks << Shift : ticks >> -Shift;
        return (ulong)(((UInt128)shifted * Multiplier) >> 32);
    }
}
