namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>A small deterministic generator (splitmix64), the same on every runtime version.</summary>
internal sealed class Rng(ulong seed)
{
    private ulong _state = seed;

    /// <summary>Mixes values into a seed.</summary>
    public static ulong Mix(params ReadOnlySpan<ulong> values)
    {
        ulong mixed = 0;
        foreach (ulong value in values)
        {
            mixed = new Rng(mixed ^ value).Next();
        }

        return mixed;
    }

    public ulong Next()
    {
        ulong z = _state += 0x9E37_79B9_7F4A_7C15;
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return z ^ (z >> 31);
    }

    /// <summary>A number in [0, bound).</summary>
    public int Below(int bound) => (int)((Next() >> 33) % (ulong)bound);

    /// <summary>A number in [first, last].</summary>
    public int Between(int first, int last) => first + Below(last - first + 1);

    /// <summary>True once in <paramref name="oneIn"/> times.</summary>
    public bool Chance(int oneIn) => Below(oneIn) == 0;

    public T Pick<T>(ReadOnlySpan<T> choices) => choices[Below(choices.Length)];
}
