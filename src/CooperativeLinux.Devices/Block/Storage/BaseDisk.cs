using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>A disk in one file or block device of the host, which an overlay can have as its base.</summary>
public abstract class BaseDisk : Disk
{
    /// <summary>Opens one that will not be written, and locks it: a raw disk, or a qcow2 image if it begins like one.</summary>
    /// <remarks>A guest that can write the raw disk can make it begin like that. It gains nothing: such an image names no other file.</remarks>
    /// <param name="path">File or block device.</param>
    /// <exception cref="IOException">It cannot be used; the message is one line for the user.</exception>
    public static BaseDisk OpenReadOnly(string path)
    {
        DiskFile file = DiskFile.Open(path, isWritable: false);
        try
        {
            return Qcow2Header.IsAtStartOf(file) ? Qcow2Disk.Open(file) : RawDisk.Open(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>By what an overlay knows this disk again.</summary>
    internal abstract BaseIdentity Identify();

    /// <summary>Reads whole sectors; those behind the end are zero.</summary>
    internal abstract void ReadPadded(ReadOnlySpan<IoBuffer> buffers, long offset);
}
