using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images.Compression;

/// <summary>A destination with canaries on both sides, filled with something that is never expected.</summary>
internal sealed class GuardedOutput
{
    private const int Margin = 64;
    private const byte Canary = 0xa5;

    private readonly byte[] _buffer;

    public GuardedOutput(int length)
    {
        _buffer = new byte[length + (2 * Margin)];
        _buffer.AsSpan().Fill(Canary);
    }

    public Span<byte> Span => _buffer.AsSpan(Margin, _buffer.Length - (2 * Margin));

    public void AssertMarginsUntouched()
    {
        Assert.False(_buffer.AsSpan(0, Margin).ContainsAnyExcept(Canary));
        Assert.False(_buffer.AsSpan(_buffer.Length - Margin).ContainsAnyExcept(Canary));
    }
}
