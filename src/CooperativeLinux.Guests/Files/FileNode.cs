namespace CooperativeLinux.Guests.Files;

/// <summary>
/// One file of a guest, with the owner and mode it shall have there. The same node under several paths is a
/// hard link.
/// </summary>
public sealed class FileNode
{
    /// <summary>The type of the file.</summary>
    public required FileKind Kind { get; init; }

    /// <summary>Permissions: the low twelve bits of a Linux mode.</summary>
    public required int Permissions { get; init; }

    /// <summary>The owner.</summary>
    public int UserId { get; init; }

    /// <summary>The owner's group.</summary>
    public int GroupId { get; init; }

    /// <summary>When it was last changed, in seconds since 1970.</summary>
    public long ModifiedSeconds { get; init; }

    /// <summary>Of a symbolic link: where it points.</summary>
    public string? Target { get; init; }

    /// <summary>Of a regular file: its content, unless <see cref="ContentPath"/> is set.</summary>
    public ReadOnlyMemory<byte> Content { get; init; }

    /// <summary>Of a regular file: the host's file that holds its content.</summary>
    public string? ContentPath { get; init; }

    /// <summary>Of a device: its major number.</summary>
    public int DeviceMajor { get; init; }

    /// <summary>Of a device: its minor number.</summary>
    public int DeviceMinor { get; init; }
}
