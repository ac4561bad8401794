using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>A file or folder opened by its path.</summary>
/// <param name="node">The file.</param>
/// <param name="handle">The open file, or null for a folder.</param>
/// <param name="isAppending">Whether each write goes to the end.</param>
internal sealed class PathFile(PathNode node, SafeFileHandle? handle, bool isAppending) : HostFile
{
    private readonly Lock _gate = new();
    private List<(string Name, FileAttributes Attributes)> _entries = [];
    private string _path = "";

    /// <summary>Opens a path.</summary>
    public static PathFile Open(PathNode node, string path, FileOpenMode mode, FileMode fileMode)
    {
        if (fileMode == FileMode.Open && Directory.Exists(path))
        {
            return new PathFile(node, null, isAppending: false) { _path = path };
        }

        FileAccess access = mode.HasFlag(FileOpenMode.ReadWrite) ? FileAccess.ReadWrite : mode.HasFlag(FileOpenMode.Write) ? FileAccess.Write : FileAccess.Read;
        FileOptions options = (mode & (FileOpenMode.Sync | FileOpenMode.DataSync)) != 0 ? FileOptions.WriteThrough : FileOptions.None;
        fileMode = fileMode == FileMode.Open && mode.HasFlag(FileOpenMode.Truncate) && access != FileAccess.Read ? FileMode.Truncate : fileMode;

        // A new file needs the right to be written, whatever it is opened for.
        access = fileMode == FileMode.CreateNew && access == FileAccess.Read ? FileAccess.ReadWrite : access;
        SafeFileHandle opened = File.OpenHandle(path, fileMode, access, System.IO.FileShare.ReadWrite | System.IO.FileShare.Delete, options);
        return new PathFile(node, opened, mode.HasFlag(FileOpenMode.Append));
    }

    public override Errno Read(Span<byte> destination, ulong offset, out int count)
    {
        count = 0;
        if (handle is null || offset > long.MaxValue - (ulong)destination.Length)
        {
            return handle is null ? Errno.EISDIR : Errno.EINVAL;
        }

        try
        {
            while (count < destination.Length)
            {
                int read = RandomAccess.Read(handle, destination[count..], (long)offset + count);
                if (read == 0)
                {
                    break;
                }

                count += read;
            }

            return Errno.None;
        }
        catch (Exception exception) when (PathErrors.TryTranslate(exception, out Errno error))
        {
            return error == Errno.EACCES ? Errno.EBADF : error;
        }
    }

    public override Errno Write(ReadOnlySpan<byte> source, ulong offset, out int count)
    {
        count = 0;
        if (handle is null || offset > long.MaxValue - (ulong)source.Length)
        {
            return handle is null ? Errno.EISDIR : Errno.EFBIG;
        }

        try
        {
            lock (_gate)
            {
                RandomAccess.Write(handle, source, isAppending ? RandomAccess.GetLength(handle) : (long)offset);
            }

            count = source.Length;
            return Errno.None;
        }
        catch (Exception exception) when (PathErrors.TryTranslate(exception, out Errno error))
        {
            return error == Errno.EACCES ? Errno.EBADF : error;
        }
    }

    public override Errno Sync(bool isDataOnly) => Run(() =>
    {
        if (handle is not null)
        {
            RandomAccess.FlushToDisk(handle);
        }
    });

    public override Errno SetSize(ulong size) => handle is null ? Errno.EISDIR : size > long.MaxValue ? Errno.EFBIG : Run(() => RandomAccess.SetLength(handle, (long)size));

    public override Errno GetStatus(out FileStatus status) => node.GetStatus(out status);

    public override Errno ReadEntries<TVisitor>(ulong offset, ref TVisitor visitor)
    {
        if (handle is not null)
        {
            return Errno.ENOTDIR;
        }

        lock (_gate)
        {
            if (offset == 0)
            {
                Errno error = Run(() => _entries =
                [
                    (".", FileAttributes.Directory), ("..", FileAttributes.Directory),
                    .. new DirectoryInfo(_path).EnumerateFileSystemInfos().Select(info => (info.Name, info.Attributes)),
                ]);
                if (error != Errno.None)
                {
                    return error;
                }
            }

            for (int i = (int)Math.Min(offset, (ulong)_entries.Count); i < _entries.Count; i++)
            {
                (string name, FileAttributes attributes) = _entries[i];
                uint type = attributes.HasFlag(FileAttributes.ReparsePoint) ? FileStatus.SymbolicLink
                    : attributes.HasFlag(FileAttributes.Directory) ? FileStatus.Directory : FileStatus.Regular;
                ulong number = PathErrors.NumberOf(name is "." or ".." ? _path : Path.Combine(_path, name));
                if (!visitor.Take(number, (ulong)i + 1, (byte)(type >> 12), Encoding.UTF8.GetBytes(name)))
                {
                    break;
                }
            }

            return Errno.None;
        }
    }

    // Among guest processes only: the caller keeps those.
    public override Errno TryLock(FileLockKind kind, ulong start, ulong length) => Errno.None;

    public override Errno TestLock(FileLockKind kind, ulong start, ulong length, out FileLockRange conflict)
    {
        conflict = new FileLockRange(FileLockKind.None, 0, 0);
        return Errno.None;
    }

    public override void Dispose() => handle?.Dispose();

    private static Errno Run(Action action)
    {
        try
        {
            action();
            return Errno.None;
        }
        catch (Exception exception) when (PathErrors.TryTranslate(exception, out Errno error))
        {
            return error;
        }
    }
}
