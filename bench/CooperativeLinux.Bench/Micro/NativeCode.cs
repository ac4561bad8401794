using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Bench.Micro;

/// <summary>A snippet on the host processor, in executable memory of its own.</summary>
internal sealed unsafe class NativeCode : IDisposable
{
    private readonly CodeMemory _code;
    private readonly HostAllocation _data;

    public NativeCode(Snippet snippet)
    {
        _code = CodeMemory.Create(CodeMemory.Granularity, FlatGuest.CodeSize);

        // The same kind of memory as a guest's RAM, so that both sides have pages of the same size.
        _data = HostAllocation.AllocateSparse(Snippet.DataSize);
        byte[] bytes = snippet.Assemble((ulong)_code.Code);
        bytes.CopyTo(new Span<byte>(_code.CodeWritable, _code.CodeSize));
        snippet.Fill?.Invoke(new Span<byte>(_data.Pointer, Snippet.DataSize), (ulong)_data.Pointer);
    }

    /// <returns>What the code left in rax.</returns>
    public ulong Call(long iterations)
    {
        // SAFETY: the snippet keeps the calling convention and stays within its data (the guest side checks both).
        return ((delegate* unmanaged<byte*, long, ulong>)_code.Code)(_data.Pointer, iterations);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _data.Dispose();
        _code.Dispose();
    }
}
