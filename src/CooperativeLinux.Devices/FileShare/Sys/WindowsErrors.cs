using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>Linux error numbers for what Windows and .NET say.</summary>
internal static class WindowsErrors
{
    /// <summary>Turns a status of ntstatus.h into an error number; success is none.</summary>
    public static Errno Translate(uint status) => WindowsFileCalls.IsSuccess(status) ? Errno.None : status switch
    {
        0xC000_000F => Errno.ENOENT, // NO_SUCH_FILE
        0xC000_0034 => Errno.ENOENT, // OBJECT_NAME_NOT_FOUND
        0xC000_003A => Errno.ENOENT, // OBJECT_PATH_NOT_FOUND
        0xC000_0033 => Errno.EINVAL, // OBJECT_NAME_INVALID
        0xC000_000D => Errno.EINVAL, // INVALID_PARAMETER
        0xC000_0035 => Errno.EEXIST, // OBJECT_NAME_COLLISION
        0xC000_0022 => Errno.EACCES, // ACCESS_DENIED
        0xC000_0121 => Errno.EACCES, // CANNOT_DELETE
        0xC000_0906 => Errno.EACCES, // VIRUS_INFECTED
        0xC000_0061 => Errno.EPERM, // PRIVILEGE_NOT_HELD
        0xC000_0043 => Errno.EBUSY, // SHARING_VIOLATION
        0xC000_0056 => Errno.EBUSY, // DELETE_PENDING
        0xC000_0243 => Errno.EBUSY, // USER_MAPPED_FILE
        0xC000_0054 => Errno.EAGAIN, // FILE_LOCK_CONFLICT
        0xC000_00BA => Errno.EISDIR, // FILE_IS_A_DIRECTORY
        0xC000_0103 => Errno.ENOTDIR, // NOT_A_DIRECTORY
        0xC000_0101 => Errno.ENOTEMPTY, // DIRECTORY_NOT_EMPTY
        0xC000_007F => Errno.ENOSPC, // DISK_FULL
        0xC000_0044 => Errno.ENOSPC, // QUOTA_EXCEEDED
        0xC000_00A2 => Errno.EROFS, // MEDIA_WRITE_PROTECTED
        0xC000_00D4 => Errno.EXDEV, // NOT_SAME_DEVICE
        0xC000_0265 => Errno.EMLINK, // TOO_MANY_LINKS
        0xC000_0106 => Errno.ENAMETOOLONG, // NAME_TOO_LONG
        0xC000_011F => Errno.ENFILE, // TOO_MANY_OPENED_FILES
        0xC000_009A => Errno.ENOMEM, // INSUFFICIENT_RESOURCES
        0xC000_050B => Errno.ELOOP, // REPARSE_POINT_ENCOUNTERED
        0xC000_0010 => Errno.EOPNOTSUPP, // INVALID_DEVICE_REQUEST
        WindowsFileCalls.StatusNotSupported or WindowsFileCalls.StatusNotImplemented or WindowsFileCalls.StatusInvalidInfoClass => Errno.EOPNOTSUPP,
        _ => Errno.EIO,
    };

    /// <summary>Turns an exception of a file function of .NET into an error number.</summary>
    /// <returns>False if it is of another kind.</returns>
    public static bool TryTranslate(Exception exception, out Errno error)
    {
        // The low half of an HRESULT: winerror.h.
        const int LockViolation = 0x21, HandleDiskFull = 0x27, DiskFull = 0x70, UserMappedFile = 0x4C8;
        error = exception switch
        {
            UnauthorizedAccessException or ObjectDisposedException => Errno.EBADF,
            ArgumentException or NotSupportedException => Errno.EINVAL,
            IOException => (exception.HResult & 0xFFFF) switch
            {
                LockViolation => Errno.EAGAIN,
                HandleDiskFull or DiskFull => Errno.ENOSPC,
                UserMappedFile => Errno.EBUSY,
                _ => Errno.EIO,
            },
            _ => Errno.None,
        };
        return error != Errno.None;
    }
}
