using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>owner=keep: the same numbers on both sides; the host decides what its user may change.</summary>
internal sealed class KeptOwners(HostFolder folder) : OwnerMapping
{
    public override void Show(HostNode node, ref FileStatus status)
    {
    }

    public override uint HostPermissions(uint permissions) => permissions;

    public override void NoteCreation(HostNode node, uint user, uint group, uint permissions)
    {
        uint newUser = user == folder.HostUser ? Unchanged : user;
        uint newGroup = group == folder.HostGroup ? Unchanged : group;
        if (newUser != Unchanged || newGroup != Unchanged)
        {
            // Only root may give files away; for others they stay the host user's.
            node.SetOwner(newUser, newGroup);
        }
    }

    public override Errno SetOwner(HostNode node, uint user, uint group) => node.SetOwner(user, group);

    public override Errno SetPermissions(HostNode node, uint permissions) => node.SetPermissions(permissions);

    // File capabilities and labels (security.*, trusted.*) have power on the host, so they are not the guest's to set.
    public override bool IsAttributeVisible(ReadOnlySpan<byte> name) => name.StartsWith("user."u8) || name.StartsWith("system.posix_acl_"u8);
}
