using CooperativeLinux.Host.Memory.Sys;
using CooperativeLinux.Host.Sys;

namespace CooperativeLinux.Host.Memory;

/// <summary>
/// One contiguous range for emitted code and the data it addresses relative to rip:
/// [guard, no access][data, read and write][code, read and execute][guard, no access].
/// The code is written through a second view elsewhere, so no page is writable and executable where the host allows that.
/// </summary>
public sealed unsafe class CodeMemory : IDisposable
{
    /// <summary>Sizes are rounded up to this many bytes: the finest at which Windows maps a view.</summary>
    public const int Granularity = 64 * 1024;

    /// <summary>Bytes of each guard.</summary>
    public const int GuardSize = Granularity;

    private CodeMapping? _mapping;

    private CodeMemory(CodeMapping mapping, int dataSize, int codeSize)
    {
        _mapping = mapping;
        DataSize = dataSize;
        CodeSize = codeSize;
        Poison = mapping.Start;
        Data = mapping.Start + GuardSize;
        Code = Data + dataSize;
        CodeWritable = mapping.CodeWritable;
    }

    ~CodeMemory() => Release();

    /// <summary>First byte of the data.</summary>
    public byte* Data { get; }

    /// <summary>Bytes of data, a multiple of <see cref="Granularity"/>.</summary>
    public int DataSize { get; }

    /// <summary>First byte of the code, where it is executed. Directly follows the data.</summary>
    public byte* Code { get; }

    /// <summary>First byte of the code, where it is written. Equals <see cref="Code"/> on hosts that forbid two views.</summary>
    public byte* CodeWritable { get; }

    /// <summary>Bytes of code, a multiple of <see cref="Granularity"/>.</summary>
    public int CodeSize { get; }

    /// <summary>First byte of the guard before the data: <see cref="GuardSize"/> bytes whose every access faults.</summary>
    public byte* Poison { get; }

    /// <summary>Maps zero-filled data and code.</summary>
    /// <param name="dataSize">Bytes of data, rounded up.</param>
    /// <param name="codeSize">Bytes of code, rounded up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A size is not positive, or both do not lie within 1 GiB.</exception>
    /// <exception cref="HostCallException">The host refuses executable memory or has no room.</exception>
    public static CodeMemory Create(int dataSize, int codeSize)
    {
        const int Limit = 1 << 30; // everything must stay in reach of a signed 32-bit displacement
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(dataSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(codeSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(dataSize, Limit);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(codeSize, Limit - dataSize);
        int data = RoundUp(dataSize);
        int code = RoundUp(codeSize);
        return new CodeMemory(HostPlatform.Create().MapCode((nuint)data, (nuint)code), data, code);
    }

    /// <summary>Whether the address lies in the executable view.</summary>
    public bool ContainsCode(byte* address) => address >= Code && address < Code + CodeSize;

    /// <summary>Tells the host that a part of the code is about to be written and executed: it comes in at once and not page by page.</summary>
    /// <param name="offset">First byte of the code; the page it lies in is the first.</param>
    /// <param name="length">Bytes; what is beyond the end is left out.</param>
    public void BringIn(int offset, int length)
    {
        int start = offset & -HostAllocation.PageSize;
        int end = (int)Math.Min((long)offset + length, CodeSize) & -HostAllocation.PageSize;
        if (end > start)
        {
            _mapping?.BringIn((nuint)start, (nuint)(end - start));
        }
    }

    /// <summary>Unmaps it all. No thread may be executing the code.</summary>
    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    private static int RoundUp(int size) => (size + Granularity - 1) & -Granularity;

    private void Release() => Interlocked.Exchange(ref _mapping, null)?.Dispose();
}
