using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>What owners, permissions and extended attributes of host files are to the guest.</summary>
internal abstract class OwnerMapping
{
    /// <summary>A user or group that is to stay as it is.</summary>
    public const uint Unchanged = uint.MaxValue;

    /// <summary>Makes the mapping for a policy.</summary>
    public static OwnerMapping Create(OwnerPolicy policy, HostFolder folder) =>
        policy == OwnerPolicy.Keep ? new KeptOwners(folder) : new MappedOwners(folder);

    /// <summary>Turns the host's view of a file into the guest's.</summary>
    public abstract void Show(HostNode node, ref FileStatus status);

    /// <summary>The permissions that a new file gets on the host.</summary>
    public abstract uint HostPermissions(uint permissions);

    /// <summary>Makes a new file belong to the guest's user who made it, as far as that is possible.</summary>
    /// <param name="permissions">What the guest asked for.</param>
    public abstract void NoteCreation(HostNode node, uint user, uint group, uint permissions);

    public abstract Errno SetOwner(HostNode node, uint user, uint group);

    public abstract Errno SetPermissions(HostNode node, uint permissions);

    /// <summary>Whether the guest may see and set an extended attribute.</summary>
    /// <param name="name">Its name, ending in NUL.</param>
    public abstract bool IsAttributeVisible(ReadOnlySpan<byte> name);

    /// <summary>Leaves only those names in a list that the guest may see.</summary>
    public byte[] VisibleAttributes(byte[] names)
    {
        List<byte> visible = [];
        for (ReadOnlySpan<byte> rest = names; !rest.IsEmpty;)
        {
            int end = rest.IndexOf((byte)0);
            ReadOnlySpan<byte> name = end < 0 ? rest : rest[..(end + 1)];
            rest = rest[name.Length..];
            if (IsAttributeVisible(name))
            {
                visible.AddRange(name);
            }
        }

        return [.. visible];
    }
}
