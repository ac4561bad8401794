using CooperativeLinux.Host.Tests.Terminals;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>A pseudo-terminal of the host for a child process.</summary>
internal sealed class Terminal : IDisposable
{
    private readonly PseudoTerminal _pseudo = new();

    /// <summary>The device the child opens.</summary>
    public string Path => new FileInfo($"/proc/self/fd/{_pseudo.Slave}").LinkTarget ?? throw new InvalidOperationException("no terminal");

    /// <summary>Input, output and local flags.</summary>
    public (uint Input, uint Output, uint Local) Mode => _pseudo.Mode;

    public void SetSize(ushort columns, ushort rows) => _pseudo.SetSize(columns, rows);

    public void Type(ReadOnlySpan<byte> bytes) => _pseudo.Type(bytes);

    /// <summary>Waits for output.</summary>
    public int Read(byte[] buffer)
    {
        try
        {
            byte[] bytes = _pseudo.ReadScreen();
            bytes.CopyTo(buffer, 0);
            return bytes.Length;
        }
        catch (InvalidOperationException)
        {
            return 0;
        }
    }

    public void Dispose() => _pseudo.Dispose();
}
