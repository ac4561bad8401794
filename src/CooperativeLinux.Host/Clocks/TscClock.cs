using System.Diagnostics;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Host.Processor;

namespace CooperativeLinux.Host.Clocks;

/// <summary>Where a <see cref="TscClock"/> has its frequency from.</summary>
public enum TscFrequencySource
{
    /// <summary>CPUID leaves 0x15 and 0x16.</summary>
    Cpuid,

    /// <summary>CPUID leaf 0x40000010 of the hypervisor below this host.</summary>
    Hypervisor,

    /// <summary>Measured against the monotonic clock.</summary>
    Measurement,
}

/// <summary>The processor's time stamp counter and its frequency.</summary>
public sealed unsafe class TscClock : IDisposable
{
    private const int Samples = 6;
    private const int SampleDistance = 5; // milliseconds; the samples span 25
    private const int ShortestPair = 3;   // samples: slopes are over 15 ms and more
    private const double Tolerance = 0.01;

    private readonly CodeMemory _memory;
    private readonly delegate* unmanaged[SuppressGCTransition]<ulong> _read;
    private readonly Sample _start;

    /// <summary>Finds out the frequency. What CPUID says is taken if a measurement of a few milliseconds agrees within 1 %;
    /// else the frequency is measured, which takes 25 ms.</summary>
    /// <exception cref="HostCallException">The host gives no executable memory.</exception>
    public TscClock()
    {
        // rdtsc; shl rdx, 32; or rax, rdx; ret
        ReadOnlySpan<byte> code = [0x0F, 0x31, 0x48, 0xC1, 0xE2, 0x20, 0x48, 0x09, 0xD0, 0xC3];
        _memory = CodeMemory.Create(1, code.Length);
        code.CopyTo(new Span<byte>(_memory.CodeWritable, code.Length));

        // SAFETY: the code takes nothing, returns in rax, changes only rax and rdx, and takes nanoseconds.
        _read = (delegate* unmanaged[SuppressGCTransition]<ulong>)_memory.Code;
        _start = TakeSample();
        (Kilohertz, Source) = FindFrequency();
    }

    /// <summary>Whether the counter runs at one rate whatever the processor's power state (CPUID 0x80000007 EDX bit 8).</summary>
    public static bool IsInvariant => (CpuidReader.Read(0x8000_0007).Edx & (1 << 8)) != 0;

    /// <summary>Ticks per millisecond.</summary>
    public ulong Kilohertz { get; }

    /// <summary>Where <see cref="Kilohertz"/> comes from.</summary>
    public TscFrequencySource Source { get; }

    /// <summary>The counter now. Not ordered with the instructions around it.</summary>
    public ulong ReadTsc() => _read();

    /// <summary>The mean frequency since this object was made, in ticks per millisecond of the host's monotonic clock. The
    /// longer ago, the finer: about 0.1 us over the time passed. Meaningful after some seconds.</summary>
    public double Recalibrate() => Slope(_start, TakeSample());

    /// <summary>Frees the code; nobody may read any more.</summary>
    public void Dispose() => _memory.Dispose();

    /// <summary>The frequency as CPUID leaves give it.</summary>
    /// <param name="cpuid">Answers a leaf; all zero where there is none.</param>
    /// <returns>Ticks per millisecond, null where CPUID does not say.</returns>
    internal static (ulong Kilohertz, TscFrequencySource Source)? FromCpuid(Func<uint, CpuidRegisters> cpuid)
    {
        // Leaf 0x15: TSC = crystal (ecx, Hz) * ebx / eax. Where the crystal is not given, the base frequency of leaf 0x16
        // (eax, MHz) is the TSC's nominal one.
        CpuidRegisters ratio = cpuid(0x15);
        if (ratio.Eax != 0 && ratio.Ebx != 0)
        {
            if (ratio.Ecx != 0)
            {
                return ((ulong)ratio.Ecx * ratio.Ebx / ratio.Eax / 1000, TscFrequencySource.Cpuid);
            }

            uint megahertz = cpuid(0x16).Eax & 0xFFFF;
            if (megahertz != 0)
            {
                return (megahertz * 1000UL, TscFrequencySource.Cpuid);
            }
        }

        const uint Hypervisor = 1u << 31; // leaf 1 ecx
        const uint TimingLeaf = 0x4000_0010; // eax: TSC in kHz, by convention of several hypervisors
        if ((cpuid(1).Ecx & Hypervisor) != 0 && cpuid(0x4000_0000).Eax >= TimingLeaf)
        {
            uint kilohertz = cpuid(TimingLeaf).Eax;
            if (kilohertz != 0)
            {
                return (kilohertz, TscFrequencySource.Hypervisor);
            }
        }

        return null;
    }

    private (ulong Kilohertz, TscFrequencySource Source) FindFrequency()
    {
        if (FromCpuid(leaf => CpuidReader.Read(leaf)) is (ulong Kilohertz, TscFrequencySource) said)
        {
            Thread.Sleep(1);
            double measured = Slope(_start, TakeSample());
            if (Math.Abs(measured - said.Kilohertz) <= Tolerance * measured)
            {
                return said;
            }
        }

        return ((ulong)Math.Round(Measure()), TscFrequencySource.Measurement);
    }

    /// <summary>The median of slopes, so that one sample disturbed by the host does not count.</summary>
    private double Measure()
    {
        Span<Sample> samples = stackalloc Sample[Samples];
        for (int i = 0; i < Samples; i++)
        {
            if (i > 0)
            {
                Thread.Sleep(SampleDistance);
            }

            samples[i] = TakeSample();
        }

        List<double> slopes = [];
        for (int distance = ShortestPair; distance < Samples; distance++)
        {
            for (int first = 0; first + distance < Samples; first++)
            {
                slopes.Add(Slope(samples[first], samples[first + distance]));
            }
        }

        slopes.Sort();
        int middle = slopes.Count / 2;
        return slopes.Count % 2 != 0 ? slopes[middle] : (slopes[middle - 1] + slopes[middle]) / 2;
    }

    /// <summary>The pair of readings that were taken closest together, out of some.</summary>
    private Sample TakeSample()
    {
        const int Tries = 16;
        Sample best = default;
        long shortest = long.MaxValue;
        for (int i = 0; i < Tries; i++)
        {
            long before = Stopwatch.GetTimestamp();
            ulong ticks = ReadTsc();
            long duration = Stopwatch.GetTimestamp() - before;
            if (duration < shortest)
            {
                shortest = duration;
                best = new Sample(before + (duration / 2), ticks);
            }
        }

        return best;
    }

    private static double Slope(Sample from, Sample to) =>
        (to.Ticks - from.Ticks) * (Stopwatch.Frequency / 1000.0) / (to.Time - from.Time);

    private readonly record struct Sample(long Time, ulong Ticks);
}
