using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Tests.Storage;

public sealed class GuestCacheTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Find_BothHaveIt_IsTheCachesElseTheBundles()
    {
        using TemporaryFolder folder = new();
        GuestCache cache = new(folder.File("cache"), folder.File("bundle"));
        await File.WriteAllTextAsync(folder.File("bundle/images/a"), "", Cancellation);
        string? bundled = cache.Find("images", "a");
        await File.WriteAllTextAsync(folder.File("cache/images/a"), "", Cancellation);

        Assert.Equal(folder.File("bundle/images/a"), bundled);
        Assert.Equal(folder.File("cache/images/a"), cache.Find("images", "a"));
        Assert.Null(cache.Find("images", "b"));
    }

    [Fact]
    public async Task LockAsync_Held_OthersWait()
    {
        using TemporaryFolder folder = new();
        IDisposable first = await new GuestCache(folder.Path).LockAsync(null, Cancellation);

        Task<IDisposable> second = new GuestCache(folder.Path).LockAsync(null, Cancellation);
        await Task.Delay(250, Cancellation);
        bool isEarly = second.IsCompleted;
        first.Dispose();

        (await second).Dispose();
        Assert.False(isEarly);
    }

    [Fact]
    public async Task LockAsync_Cancelled_GivesUp()
    {
        using TemporaryFolder folder = new();
        using IDisposable first = await new GuestCache(folder.Path).LockAsync(null, Cancellation);
        using CancellationTokenSource cancellation = new(50);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => new GuestCache(folder.Path).LockAsync(null, cancellation.Token));
    }

    [Fact]
    public async Task LockAsync_LeftoversOfADeadProcess_AreRemoved()
    {
        using TemporaryFolder folder = new();
        GuestCache cache = new(folder.Path);
        Directory.CreateDirectory(Path.Combine(cache.NewTemporaryPath(), "half"));
        await File.WriteAllTextAsync(cache.NewTemporaryPath(), "half", Cancellation);

        (await cache.LockAsync(null, Cancellation)).Dispose();

        Assert.Equal(["lock"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public async Task LockAsync_FolderCannotBeMade_IsOneClearError()
    {
        using TemporaryFolder folder = new();
        await File.WriteAllTextAsync(folder.File("file"), "", Cancellation);

        GuestBuildException error = await Assert.ThrowsAsync<GuestBuildException>(
            () => new GuestCache(Path.Combine(folder.Path, "file", "cache")).LockAsync(null, Cancellation));

        Assert.Contains("cannot create the cache folder", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PublishDirectory_OverAnOlderOne_ReplacesIt()
    {
        using TemporaryFolder folder = new();
        GuestCache cache = new(folder.Path);
        File.WriteAllText(folder.File("final/old"), "");
        string temporary = cache.NewTemporaryPath();
        Directory.CreateDirectory(temporary);
        File.WriteAllText(Path.Combine(temporary, "new"), "");

        cache.PublishDirectory(temporary, cache.PathOf("final"));

        Assert.Equal(["new"], Directory.GetFileSystemEntries(cache.PathOf("final")).Select(Path.GetFileName));
    }
}
