namespace CooperativeLinux.Cli;

/// <summary>Reads a <see cref="RotatingLog"/> from its oldest part on, also while it is written and rotated.</summary>
internal sealed class RotatingLogReader : IDisposable
{
    private readonly string _path;
    private readonly byte[] _buffer = new byte[1 << 16];
    private FileStream? _file;
    private bool _isOld;

    /// <param name="path">The log.</param>
    public RotatingLogReader(string path)
    {
        _path = path;
        _file = Open(RotatingLog.OldPath(path));
        _isOld = _file is not null;
        _file ??= Open(path);
    }

    /// <summary>Reads what is there, or nothing if there is no more at present.</summary>
    public ReadOnlyMemory<byte> Read()
    {
        int count = _file?.Read(_buffer) ?? 0;
        if (count == 0 && (_isOld || WasRotated()))
        {
            // What was written between the last reading and the rotation has been read now.
            _file?.Dispose();
            _file = Open(_path);
            _isOld = false;
            count = _file?.Read(_buffer) ?? 0;
        }

        return _buffer.AsMemory(0, count);
    }

    public void Dispose() => _file?.Dispose();

    private static FileStream? Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        }
        catch (FileNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Whether the path leads to a newer file: it is shorter than what was read of the old one.</summary>
    private bool WasRotated() => _file is null || (new FileInfo(_path) is { Exists: true } now && now.Length < _file.Position);
}
