using System.Runtime.Intrinsics.X86;
using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Monitor.Time;

/// <summary>The processor's own time stamp counter, which translated guest code reads with rdtsc.</summary>
public sealed unsafe class HostTimestampCounter : ITimestampCounter, IDisposable
{
    private const uint AdvancedPowerLeaf = 0x8000_0007;
    private const int InvariantBit = 1 << 8;

    private readonly CodeMemory _memory;
    private readonly delegate* unmanaged[SuppressGCTransition]<ulong> _read;

    /// <summary>Measures the counter's rate, which takes that long.</summary>
    /// <param name="calibration">20 ms if null, which is exact to a few parts per million.</param>
    public HostTimestampCounter(TimeSpan? calibration = null)
    {
        // rdtsc; shl rdx,32; or rax,rdx; ret
        ReadOnlySpan<byte> code = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0xc3];
        _memory = CodeMemory.Create(1, code.Length);
        code.CopyTo(new Span<byte>(_memory.CodeWritable, code.Length));

        // SAFETY: the code takes nothing, returns in rax, changes only rax and rdx, and ends within a microsecond.
        _read = (delegate* unmanaged[SuppressGCTransition]<ulong>)_memory.Code;
        Kilohertz = CounterCalibration.MeasureKilohertz(Read, calibration ?? TimeSpan.FromMilliseconds(20));
    }

    /// <summary>Whether the counter runs at one rate on all cores of this host, whatever their power state.</summary>
    public static bool IsInvariant =>
        X86Base.IsSupported
        && (uint)X86Base.CpuId(unchecked((int)0x8000_0000), 0).Eax >= AdvancedPowerLeaf
        && (X86Base.CpuId(unchecked((int)AdvancedPowerLeaf), 0).Edx & InvariantBit) != 0;

    /// <inheritdoc/>
    public ulong Kilohertz { get; }

    /// <inheritdoc/>
    public ulong Read() => _read();

    /// <summary>Frees the code; nobody may read any more.</summary>
    public void Dispose() => _memory.Dispose();
}
