namespace CooperativeLinux.Guests.Storage;

/// <summary>
/// The folder that keeps fetched kernels and built images. What is in it under its final name is complete:
/// everything is made under a temporary name first and then renamed.
/// </summary>
public sealed class GuestCache
{
    private const string TemporaryPrefix = ".tmp-";
    private static readonly TimeSpan LockRetryDelay = TimeSpan.FromMilliseconds(100);

    private readonly string[] _folders;

    /// <summary>Uses the given folder, which is created when first needed.</summary>
    /// <param name="root">The folder.</param>
    /// <param name="bundle">A folder of the same form that is only read, for what the cache does not have; null for none.</param>
    public GuestCache(string root, string? bundle = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        Root = Path.GetFullPath(root);
        _folders = bundle is null ? [Root] : [Root, Path.GetFullPath(bundle)];
    }

    /// <summary>The absolute path of the folder.</summary>
    public string Root { get; }

    /// <summary>Where to look for what is there: the cache, then what came with the program.</summary>
    public IReadOnlyList<string> Folders => _folders;

    /// <summary>
    /// The user's cache: <c>$XDG_CACHE_HOME/colinux</c>, by default <c>~/.cache/colinux</c> (XDG Base Directory Specification; a
    /// relative value of the variable counts as unset), on Windows <c>%LOCALAPPDATA%\colinux</c>; and the folder <c>guest</c>
    /// beside the program, which packages of it have (docs/windows.md).
    /// </summary>
    /// <exception cref="GuestBuildException">The user has no home folder.</exception>
    public static GuestCache ForUser()
    {
        string bundle = Path.Combine(AppContext.BaseDirectory, "guest");
        string? cacheHome = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (!string.IsNullOrEmpty(cacheHome) && Path.IsPathRooted(cacheHome))
        {
            return new GuestCache(Path.Combine(cacheHome, "colinux"), bundle);
        }

        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        if (string.IsNullOrEmpty(home))
        {
            throw new GuestBuildException("no folder for downloads: neither XDG_CACHE_HOME nor a home folder is set");
        }

        return new GuestCache(OperatingSystem.IsWindows()
            ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "colinux")
            : Path.Combine(home, ".cache", "colinux"), bundle);
    }

    /// <summary>The absolute path of something in the cache.</summary>
    public string PathOf(params ReadOnlySpan<string> parts)
    {
        return Path.Combine([Root, .. parts]);
    }

    /// <summary>The absolute path of a file that is there: in the cache, or else in what came with the program.</summary>
    /// <returns>Null if neither has it.</returns>
    public string? Find(params ReadOnlySpan<string> parts)
    {
        foreach (string folder in _folders)
        {
            string path = Path.Combine([folder, .. parts]);
            if (File.Exists(path))
            {
                return path;
            }
        }

        return null;
    }

    /// <summary>
    /// Waits until this process is the only one that changes the cache. Reading needs no lock.
    /// Dispose the result to let others in; the lock also ends with the process.
    /// </summary>
    /// <exception cref="GuestBuildException">The cache folder cannot be written.</exception>
    public async Task<IDisposable> LockAsync(IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        try
        {
            CreateRoot();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new GuestBuildException($"cannot create the cache folder {Root}: {error.Message}", error);
        }

        string path = PathOf("lock");
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                FileStream held = new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
                RemoveLeftovers();
                return new CacheLock(this, held);
            }
            catch (UnauthorizedAccessException error)
            {
                throw new GuestBuildException($"cannot write to the cache folder {Root}: {error.Message}", error);
            }
            catch (IOException) when (File.Exists(path))
            {
                progress?.Report(new GuestProgress("Waiting for another colinux to finish its downloads"));
                await Task.Delay(LockRetryDelay, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>A fresh name on the cache's file system for something in the making. The caller holds the lock.</summary>
    public string NewTemporaryPath()
    {
        CreateRoot();
        return PathOf(TemporaryPrefix + Guid.NewGuid().ToString("N"));
    }

    /// <summary>Gives a finished temporary file its final name, replacing what was there.</summary>
    public static void PublishFile(string temporaryPath, string finalPath)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(finalPath)!);
        using (FileStream stream = new(temporaryPath, FileMode.Open, FileAccess.ReadWrite))
        {
            stream.Flush(flushToDisk: true);
        }

        File.Move(temporaryPath, finalPath, overwrite: true);
    }

    /// <summary>Writes a small text file so that readers see either the old or the new content.</summary>
    public void PublishText(string text, string finalPath)
    {
        string temporary = NewTemporaryPath();
        File.WriteAllText(temporary, text);
        PublishFile(temporary, finalPath);
    }

    /// <summary>Gives a finished temporary folder its final name, replacing what was there.</summary>
    public void PublishDirectory(string temporaryPath, string finalPath)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(finalPath)!);
        if (Directory.Exists(finalPath))
        {
            // Ends with the lock, like everything that has a temporary name.
            Directory.Move(finalPath, NewTemporaryPath());
        }

        Directory.Move(temporaryPath, finalPath);
    }

    private void CreateRoot()
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(Root);
        }
        else
        {
            // Package sources in it may hold passwords.
            Directory.CreateDirectory(Root, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    private void RemoveLeftovers()
    {
        // Whoever holds the lock owns every temporary name, so what is found here is from a process that died.
        foreach (string path in Directory.EnumerateFileSystemEntries(Root, TemporaryPrefix + "*"))
        {
            if (Directory.Exists(path))
            {
                Directory.Delete(path, recursive: true);
            }
            else
            {
                File.Delete(path);
            }
        }
    }

    private sealed class CacheLock(GuestCache cache, FileStream held) : IDisposable
    {
        public void Dispose()
        {
            try
            {
                cache.RemoveLeftovers();
            }
            finally
            {
                held.Dispose();
            }
        }
    }
}
