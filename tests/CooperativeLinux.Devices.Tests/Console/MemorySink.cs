using System.Text;
using CooperativeLinux.Devices.Console;

namespace CooperativeLinux.Devices.Tests.Console;

/// <summary>Keeps what is written; can be made to block.</summary>
internal sealed class MemorySink : IConsoleSink
{
    private readonly MemoryStream _bytes = new();

    /// <summary>Writes wait for this.</summary>
    public ManualResetEventSlim Gate { get; } = new(true);

    public string Text
    {
        get
        {
            lock (_bytes)
            {
                return Encoding.Latin1.GetString(_bytes.ToArray());
            }
        }
    }

    public void Write(ReadOnlySpan<byte> output)
    {
        Gate.Wait();
        lock (_bytes)
        {
            _bytes.Write(output);
        }
    }

    public bool WaitFor(string text) => SpinWait.SpinUntil(() => Text == text, TimeSpan.FromSeconds(10));
}
