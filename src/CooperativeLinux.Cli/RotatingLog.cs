namespace CooperativeLinux.Cli;

/// <summary>
/// A log that does not grow for ever: when the file has its greatest size, it becomes the old one, and a new one begins. What
/// cannot be written, since the disk is full, is left out.
/// </summary>
internal sealed class RotatingLog : WriteOnlyStream
{
    /// <summary>The greatest size of a file, in bytes; there are two.</summary>
    public const long MaxSize = 1 << 20;

    private readonly string _path;
    private readonly long _maxSize;
    private FileStream? _file;

    /// <param name="path">The file; those of the last run are replaced.</param>
    /// <param name="maxSize">The greatest size of each of the two files.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    public RotatingLog(string path, long maxSize = MaxSize)
    {
        _path = path;
        _maxSize = maxSize;
        File.Delete(OldPath(path));
        _file = Create();
    }

    /// <summary>Where the older part is.</summary>
    public static string OldPath(string path) => path + ".1";

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        try
        {
            if (_file is { } file && file.Length > 0 && file.Length + buffer.Length > _maxSize)
            {
                _file = null;
                file.Dispose();
                File.Move(_path, OldPath(_path), overwrite: true);
            }

            _file ??= Create();
            _file.Write(buffer);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The next piece is tried again.
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _file?.Dispose();
        }

        base.Dispose(disposing);
    }

    private FileStream Create()
    {
        FileStreamOptions options = new() { Mode = FileMode.Create, Access = FileAccess.Write, Share = FileShare.ReadWrite | FileShare.Delete, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return new FileStream(_path, options);
    }
}
