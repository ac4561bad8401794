using System.Globalization;
using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>
/// owner=map: the host's user is the guest's root, everybody else is nobody. Owners the guest sets, and set-id bits, which would
/// have power on the host, are noted in the extended attribute user.colinux.owner of the file: "UID:GID:BITS", the bits in octal.
/// </summary>
internal sealed class MappedOwners(HostFolder folder) : OwnerMapping
{
    private const uint Nobody = 65534;
    private const uint SetIdBits = FileStatus.SetUserId | FileStatus.SetGroupId;
    private const int MaxNote = 64;

    private static ReadOnlySpan<byte> NoteName => "user.colinux.owner\0"u8;

    public override void Show(HostNode node, ref FileStatus status)
    {
        Note note = Read(node, status);
        status.User = note.User;
        status.Group = note.Group;
        status.Mode |= note.Bits;
    }

    public override uint HostPermissions(uint permissions) => permissions & ~SetIdBits;

    public override void NoteCreation(HostNode node, uint user, uint group, uint permissions)
    {
        if ((user != 0 || group != 0 || (permissions & SetIdBits) != 0) && node.GetStatus(out FileStatus status) == Errno.None)
        {
            // Where there are no extended attributes, the file is root's.
            Write(node, status, new Note(user, group, permissions & SetIdBits));
        }
    }

    public override Errno SetOwner(HostNode node, uint user, uint group)
    {
        Errno error = node.GetStatus(out FileStatus status);
        if (error != Errno.None)
        {
            return error;
        }

        Note old = Read(node, status);
        Note wanted = old with { User = user == Unchanged ? old.User : user, Group = group == Unchanged ? old.Group : group };
        return wanted == old ? Errno.None : Write(node, status, wanted);
    }

    public override Errno SetPermissions(HostNode node, uint permissions)
    {
        Errno error = node.GetStatus(out FileStatus status);
        if (error != Errno.None || !status.IsRegular)
        {
            return error != Errno.None ? error : node.SetPermissions(permissions);
        }

        Note old = Read(node, status);
        Note wanted = old with { Bits = permissions & SetIdBits };
        error = node.SetPermissions(permissions & ~SetIdBits);
        return error != Errno.None || wanted == old ? error : Write(node, status, wanted);
    }

    public override bool IsAttributeVisible(ReadOnlySpan<byte> name) => name.StartsWith("user."u8) && !name.StartsWith("user.colinux."u8);

    private Note Plain(in FileStatus status) =>
        new(status.User == folder.HostUser ? 0 : Nobody, status.Group == folder.HostGroup ? 0 : Nobody, 0);

    private Note Read(HostNode node, in FileStatus status)
    {
        bool mayHaveNote = status.IsRegular || status.IsDirectory;
        if (mayHaveNote && node.GetExtendedAttribute(NoteName, out byte[] value) == Errno.None && value.Length <= MaxNote)
        {
            string[] parts = Encoding.ASCII.GetString(value).Split(':');
            if (parts.Length == 3
                && uint.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out uint user)
                && uint.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out uint group)
                && parts[2] is "0" or "2000" or "4000" or "6000")
            {
                return new Note(user, group, Convert.ToUInt32(parts[2], 8) & (status.IsRegular ? SetIdBits : 0));
            }
        }

        return Plain(status);
    }

    private Errno Write(HostNode node, in FileStatus status, Note note)
    {
        Errno error;
        if (note == Plain(status))
        {
            error = WhileWritable(node, status, () => node.RemoveExtendedAttribute(NoteName));
            return error is Errno.ENODATA or Errno.EOPNOTSUPP ? Errno.None : error;
        }

        string text = string.Create(CultureInfo.InvariantCulture, $"{note.User}:{note.Group}:{Convert.ToString(note.Bits, 8)}");
        error = status.IsRegular || status.IsDirectory
            ? WhileWritable(node, status, () => node.SetExtendedAttribute(NoteName, Encoding.ASCII.GetBytes(text), 0))
            : Errno.EPERM;
        return error is Errno.EOPNOTSUPP or Errno.EACCES ? Errno.EPERM : error;
    }

    // An attribute can only be changed by who may write the file. Its owner may give himself that right, for a moment.
    private Errno WhileWritable(HostNode node, in FileStatus status, Func<Errno> change)
    {
        const uint OwnerWrites = 0x80;
        Errno error = change();
        uint permissions = status.Mode & FileStatus.PermissionMask;
        if (error is not (Errno.EACCES or Errno.EPERM) || status.User != folder.HostUser || (permissions & OwnerWrites) != 0
            || node.SetPermissions(permissions | OwnerWrites) != Errno.None)
        {
            return error;
        }

        error = change();
        Errno restored = node.SetPermissions(permissions);
        return error != Errno.None ? error : restored;
    }

    private readonly record struct Note(uint User, uint Group, uint Bits);
}
