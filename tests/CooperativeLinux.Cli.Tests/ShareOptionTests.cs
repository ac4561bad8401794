using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.FileShare;

namespace CooperativeLinux.Cli.Tests;

public sealed class ShareOptionTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("plain", "", "plain", "plain", false, OwnerPolicy.Map)]
    [InlineData("plain", ":data", "plain", "data", false, OwnerPolicy.Map)]
    [InlineData("plain", ",ro", "plain", "plain", true, OwnerPolicy.Map)]
    [InlineData("plain", ":d-1.x_y,ro,owner=keep", "plain", "d-1.x_y", true, OwnerPolicy.Keep)]
    [InlineData("plain", ",owner=map", "plain", "plain", false, OwnerPolicy.Map)]
    [InlineData("with colon:x", "", "with colon:x", "with_colon_x", false, OwnerPolicy.Map)]
    [InlineData("with colon:x", ":y", "with colon:x", "y", false, OwnerPolicy.Map)]
    [InlineData("Größe", "", "Größe", "Gr__e", false, OwnerPolicy.Map)]
    public void TryParse_Valid_IsRead(string folder, string rest, string expectedFolder, string tag, bool isReadOnly, OwnerPolicy owner)
    {
        Directory.CreateDirectory(Path.Combine(_folder, folder));

        Assert.True(ShareOption.TryParse(Path.Combine(_folder, folder) + rest, out FileShareOptions? share, out string error), error);

        Assert.Equal(new FileShareOptions(Path.Combine(_folder, expectedFolder), tag) { IsReadOnly = isReadOnly, Owner = owner }, share);
    }

    [Theory]
    [InlineData("", "the form is")]
    [InlineData(",ro", "the form is")]
    [InlineData("/nonexistent", "/nonexistent does not exist")]
    [InlineData("/etc/passwd", "is not a folder")]
    [InlineData("/etc,rx", "'rx' is none of")]
    [InlineData("/etc,owner=me", "'owner=me' is none of")]
    [InlineData("/etc:", "a tag has")]
    [InlineData("/etc:a b", "a tag has")]
    [InlineData("/etc:..", "a tag has")]
    [InlineData("/etc:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a tag has")]
    public void TryParse_Invalid_SaysWhy(string text, string part)
    {
        Assert.False(ShareOption.TryParse(text, out FileShareOptions? share, out string error));
        Assert.Null(share);
        Assert.Contains(part, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RunAsync_Shares_ReachTheMachineAndItsCommandLine()
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new();

        await run.RunAsync("run", "-k", kernel.Path, "--share", $"{_folder}:one,ro", "--share", "/etc:host,owner=keep");

        Assert.Equal(["one", "host"], run.Options!.Shares.Select(share => share.Tag));
        Assert.Contains(" colinux.mount=one:/mnt/one:ro colinux.mount=host:/mnt/host colinux.folder=/mnt/host", run.Options.CommandLine, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RunAsync_KernelFile_HasNoShareByItself()
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new();

        await run.RunAsync("run", "-k", kernel.Path);

        Assert.Empty(run.Options!.Shares);
        Assert.DoesNotContain("colinux.mount", run.Options.CommandLine, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("does not exist", "--share", "/nonexistent")]
    [InlineData("do not go together", "--share", "/etc", "--no-share")]
    [InlineData("the tag x is given to /etc and /usr", "--share", "/etc:x", "--share", "/usr:x")]
    [InlineData("the kernel 6.1-cloud has no 9p", "--kernel", "6.1-cloud", "--share", "/etc")]
    public async Task RunAsync_BadShare_IsOneClearLine(string part, params string[] arguments)
    {
        ConsoleRun run = new();

        ExitCode code = await run.RunAsync(["run", .. arguments]);

        Assert.Equal(ExitCode.Usage, code);
        Assert.Null(run.Options);
        Assert.StartsWith("colinux: ", run.ErrorLines[0], StringComparison.Ordinal);
        Assert.Contains(part, run.ErrorLines[0], StringComparison.Ordinal);
    }
}
