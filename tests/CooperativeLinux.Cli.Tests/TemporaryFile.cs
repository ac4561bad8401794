namespace CooperativeLinux.Cli.Tests;

/// <summary>A file that lasts as long as a test.</summary>
internal sealed class TemporaryFile : IDisposable
{
    public TemporaryFile(string content = "content")
    {
        File.WriteAllText(Path, content);
    }

    public string Path { get; } = System.IO.Path.GetTempFileName();

    public void Dispose()
    {
        File.Delete(Path);
    }
}
