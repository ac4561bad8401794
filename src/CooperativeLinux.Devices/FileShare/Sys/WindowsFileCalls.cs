using System.Runtime.InteropServices;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>
/// The file calls of Windows that take a name relative to an open folder, as no function of .NET or of kernel32 does. Constants and
/// layouts (64 bits) from ntifs.h, wdm.h, winternl.h and ntstatus.h.
/// </summary>
internal static unsafe partial class WindowsFileCalls
{
    // Access.
    public const uint ReadData = 0x1, WriteData = 0x2, ListFolder = 0x1, ReadAttributes = 0x80, WriteAttributes = 0x100, Delete = 0x1_0000,
        Synchronize = 0x10_0000;

    // Disposition, and what NtCreateFile did.
    public const uint OpenExisting = 1, CreateNew = 2, OpenOrCreate = 3;
    public const nint Created = 2;

    // Options.
    public const uint FolderOnly = 0x1, WriteThrough = 0x2, SynchronousIo = 0x20, FileOnly = 0x40, OpenReparsePoint = 0x20_0000;

    // Attributes.
    public const uint ReadOnlyAttribute = 0x1, FolderAttribute = 0x10, NormalAttribute = 0x80, ReparseAttribute = 0x400;

    // FILE_INFORMATION_CLASS and FS_INFORMATION_CLASS.
    public const uint BasicInformation = 4, RenameInformation = 10, LinkInformation = 11, DispositionInformation = 13, AllInformation = 18,
        AttributeTagInformation = 35, IdFullDirectoryInformation = 38, DispositionInformationEx = 64, RenameInformationEx = 65;
    public const uint FullSizeInformation = 7;

    // FILE_DISPOSITION_* and FILE_RENAME_*.
    public const uint DispositionDelete = 0x1, DispositionPosix = 0x2, DispositionIgnoreReadOnly = 0x10;
    public const uint RenameReplace = 0x1, RenamePosix = 0x2, RenameIgnoreReadOnly = 0x40;

    public const uint SetReparsePoint = 0x900A4, GetReparsePoint = 0x900A8;

    public const uint StatusBufferOverflow = 0x8000_0005, StatusNoMoreFiles = 0x8000_0006, StatusNotImplemented = 0xC000_0002, StatusInvalidInfoClass = 0xC000_0003,
        StatusInvalidParameter = 0xC000_000D, StatusNoSuchFile = 0xC000_000F, StatusAccessDenied = 0xC000_0022, StatusNotSupported = 0xC000_00BB, StatusCannotDelete = 0xC000_0121;

    private const uint ShareAll = 7, CaseInsensitive = 0x40;

    /// <summary>Opens or makes a file by one name in an open folder.</summary>
    /// <param name="folder">The folder, or any file if the name is empty: then that file again.</param>
    /// <param name="name">One name.</param>
    /// <param name="access">Rights; the one to wait for it is always asked for.</param>
    /// <param name="disposition">What to do if it is there, and if it is not.</param>
    /// <param name="options">More options; the file's calls always wait for their end.</param>
    /// <param name="attributes">For a new file.</param>
    /// <param name="handle">The file.</param>
    /// <param name="isNew">Whether it was made.</param>
    public static Errno Open(
        SafeFileHandle folder, string name, uint access, uint disposition, uint options, uint attributes, out SafeFileHandle? handle, out bool isNew)
    {
        handle = null;
        isNew = false;
        bool isHeld = false;
        try
        {
            folder.DangerousAddRef(ref isHeld);

            // SAFETY: all that the call is given lives until it returns.
            fixed (char* text = name)
            {
                UnicodeString unicode = new() { Length = (ushort)(name.Length * sizeof(char)), MaximumLength = (ushort)(name.Length * sizeof(char)), Buffer = text };
                ObjectAttributes place = new()
                {
                    Length = (uint)sizeof(ObjectAttributes), RootDirectory = folder.DangerousGetHandle(), ObjectName = &unicode, Attributes = CaseInsensitive,
                };
                IoStatus status = default;
                uint result = NtCreateFile(
                    out nint opened, access | Synchronize, &place, &status, null, attributes, ShareAll, disposition, options | SynchronousIo, null, 0);
                if (!IsSuccess(result))
                {
                    return WindowsErrors.Translate(result);
                }

                handle = new SafeFileHandle(opened, ownsHandle: true);
                isNew = status.Information == Created;
                return Errno.None;
            }
        }
        catch (ObjectDisposedException)
        {
            return Errno.EBADF;
        }
        finally
        {
            if (isHeld)
            {
                folder.DangerousRelease();
            }
        }
    }

    /// <summary>Renames or links an open file, by FILE_RENAME_INFORMATION or the equal FILE_LINK_INFORMATION.</summary>
    /// <param name="file">The file.</param>
    /// <param name="kind">Which of the two, or FILE_RENAME_INFORMATION_EX.</param>
    /// <param name="flags">Flags, or for the two older ones whether to replace.</param>
    /// <param name="folder">The new name's folder.</param>
    /// <param name="name">The new name.</param>
    /// <returns>A status.</returns>
    public static uint SetName(SafeFileHandle file, uint kind, uint flags, SafeFileHandle folder, string name)
    {
        const int FolderOffset = 8, LengthOffset = 16, NameOffset = 20;
        int bytes = name.Length * sizeof(char);
        byte* information = stackalloc byte[NameOffset + bytes + sizeof(long)];
        bool isHeld = false;
        try
        {
            folder.DangerousAddRef(ref isHeld);
            *(ulong*)information = flags;
            *(nint*)(information + FolderOffset) = folder.DangerousGetHandle();
            *(int*)(information + LengthOffset) = bytes;
            name.CopyTo(new Span<char>(information + NameOffset, name.Length));
            IoStatus status = default;
            return NtSetInformationFile(file, &status, information, (uint)(NameOffset + bytes), kind);
        }
        finally
        {
            if (isHeld)
            {
                folder.DangerousRelease();
            }
        }
    }

    /// <summary>Whether a status is one of success: neither a warning nor an error.</summary>
    public static bool IsSuccess(uint status) => status < 0x8000_0000;

    /// <summary>Whether a call was refused because this Windows, or the file system, does not know that form of it.</summary>
    public static bool IsUnknownForm(uint status) => status is StatusNotImplemented or StatusInvalidInfoClass or StatusInvalidParameter or StatusNotSupported;

    [LibraryImport("ntdll")]
    public static partial uint NtQueryInformationFile(SafeFileHandle file, IoStatus* status, void* information, uint length, uint kind);

    [LibraryImport("ntdll")]
    public static partial uint NtSetInformationFile(SafeFileHandle file, IoStatus* status, void* information, uint length, uint kind);

    [LibraryImport("ntdll")]
    public static partial uint NtQueryVolumeInformationFile(SafeFileHandle file, IoStatus* status, void* information, uint length, uint kind);

    [LibraryImport("ntdll")]
    public static partial uint NtQueryDirectoryFile(
        SafeFileHandle file, nint signal, nint callback, nint context, IoStatus* status, void* information, uint length, uint kind, byte isSingle, UnicodeString* mask,
        byte isRestart);

    [LibraryImport("ntdll")]
    public static partial uint NtFsControlFile(
        SafeFileHandle file, nint signal, nint callback, nint context, IoStatus* status, uint code, void* input, uint inputLength, void* output, uint outputLength);

    /// <summary>Opens the shared folder itself, by a path.</summary>
    [LibraryImport("kernel32", EntryPoint = "CreateFileW", SetLastError = true, StringMarshalling = StringMarshalling.Utf16)]
    public static partial SafeFileHandle CreateFile(string path, uint access, uint share, nint security, uint disposition, uint flags, nint template);

    [LibraryImport("ntdll")]
    private static partial uint NtCreateFile(
        out nint handle, uint access, ObjectAttributes* attributes, IoStatus* status, long* allocation, uint fileAttributes, uint share, uint disposition, uint options,
        void* extended, uint extendedLength);

    /// <summary>IO_STATUS_BLOCK.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct IoStatus
    {
        public nint Status;
        public nint Information;
    }

    /// <summary>UNICODE_STRING; lengths in bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct UnicodeString
    {
        public ushort Length;
        public ushort MaximumLength;
        public char* Buffer;
    }

    /// <summary>OBJECT_ATTRIBUTES.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct ObjectAttributes
    {
        public uint Length;
        public nint RootDirectory;
        public UnicodeString* ObjectName;
        public uint Attributes;
        public nint SecurityDescriptor;
        public nint SecurityQuality;
    }
}
