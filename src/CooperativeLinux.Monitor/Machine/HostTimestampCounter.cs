using System.Runtime.Intrinsics.X86;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Monitor.Time;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>The host's time stamp counter, which guest code reads directly.</summary>
public sealed unsafe class HostTimestampCounter : ITimestampCounter, IDisposable
{
    private static readonly TimeSpan CalibrationTime = TimeSpan.FromMilliseconds(20);

    private readonly CodeMemory _memory;
    private readonly delegate* unmanaged[SuppressGCTransition]<ulong> _read;

    /// <summary>Measures the counter's rate; takes 20 ms.</summary>
    /// <exception cref="HostCallException">The host refuses executable memory.</exception>
    public HostTimestampCounter()
    {
        _memory = CodeMemory.Create(1, 1);

        // rdtsc; shl rdx,32; or rax,rdx; ret
        ReadOnlySpan<byte> code = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0xc3];

        // SAFETY: the range is larger than the code, which touches only rax and rdx, volatile in both calling conventions.
        code.CopyTo(new Span<byte>(_memory.CodeWritable, code.Length));
        _read = (delegate* unmanaged[SuppressGCTransition]<ulong>)_memory.Code;
        Kilohertz = CounterCalibration.MeasureKilohertz(Read, CalibrationTime);
    }

    /// <summary>Whether the host's counter runs at one rate and never stops.</summary>
    public static bool IsInvariant
    {
        get
        {
            const uint PowerLeaf = 0x8000_0007;
            return (uint)X86Base.CpuId(unchecked((int)0x8000_0000), 0).Eax >= PowerLeaf
                && (X86Base.CpuId(unchecked((int)PowerLeaf), 0).Edx & (1 << 8)) != 0;
        }
    }

    /// <inheritdoc/>
    public ulong Kilohertz { get; }

    /// <inheritdoc/>
    public ulong Read() => _read();

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();
}
