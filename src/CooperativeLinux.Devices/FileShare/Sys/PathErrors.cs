using System.Text;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>Error numbers for .NET's exceptions, and file numbers for paths.</summary>
internal static class PathErrors
{
    // The low half of HRESULTs of Windows: winerror.h.
    private const int SharingViolation = 0x20, HandleDiskFull = 0x27, FileExists = 0x50, DiskFull = 0x70, FolderNotEmpty = 0x91, AlreadyExists = 0xB7,
        PrivilegeNotHeld = 0x522;

    /// <summary>Turns an exception of a file function into an error number.</summary>
    /// <returns>False if it is of another kind.</returns>
    public static bool TryTranslate(Exception exception, out Errno error)
    {
        error = exception switch
        {
            FileNotFoundException or DirectoryNotFoundException or DriveNotFoundException => Errno.ENOENT,
            PathTooLongException => Errno.ENAMETOOLONG,
            UnauthorizedAccessException => Errno.EACCES,
            ObjectDisposedException => Errno.EBADF,
            ArgumentException or NotSupportedException => Errno.EINVAL,
            IOException => (exception.HResult & 0xFFFF) switch
            {
                SharingViolation => Errno.EBUSY,
                HandleDiskFull or DiskFull => Errno.ENOSPC,
                FileExists or AlreadyExists => Errno.EEXIST,
                FolderNotEmpty => Errno.ENOTEMPTY,
                PrivilegeNotHeld => Errno.EPERM,
                _ => Errno.EIO,
            },
            _ => Errno.None,
        };
        return error != Errno.None;
    }

    /// <summary>A file number for a path: .NET tells none. FNV-1a of the path, in upper case where case does not matter.</summary>
    public static ulong NumberOf(string path)
    {
        ulong hash = 0xCBF29CE484222325;
        foreach (byte value in Encoding.UTF8.GetBytes(OperatingSystem.IsWindows() ? path.ToUpperInvariant() : path))
        {
            hash = (hash ^ value) * 0x100000001B3;
        }

        return hash;
    }
}
