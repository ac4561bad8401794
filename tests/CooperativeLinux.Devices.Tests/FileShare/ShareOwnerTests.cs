using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

public sealed class ShareOwnerTests : IDisposable
{
    private const uint Mode = 1, User = 2, Group = 4;

    private readonly ShareTestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Map_HostUser_IsRootInTheGuest()
    {
        using ShareClient client = new(_folder.Path);
        File.WriteAllText(_folder.Of("file"), "");

        (_, uint user, uint group, _) = client.Stat(client.Find("file"));

        Assert.Equal((0u, 0u), (user, group));
    }

    [Fact]
    public void Map_OwnersAndSetIdBits_AreNotedAndNotOnTheHost()
    {
        using ShareClient client = new(_folder.Path);
        uint fid = client.Create("file", permissions: 0b111_101_101);
        string before = ShareTestFolder.Run("stat", "-c", "%u:%g", _folder.Of("file"));
        Errno error = client.SetAttributes(fid, User | Group, user: 1000, group: 2000);
        Assert.SkipWhen(error == Errno.EPERM, "The file system has no extended attributes.");
        Assert.Equal(Errno.None, error);

        Assert.Equal(Errno.None, client.SetAttributes(fid, Mode, mode: 0x9ED));

        Assert.Equal((0x89EDu, 1000u, 2000u, 0ul), client.Stat(fid));
        Assert.Equal((0x89EDu, 1000u, 2000u, 0ul), client.Stat(client.Find("file")));
        Assert.Equal(before, ShareTestFolder.Run("stat", "-c", "%u:%g", _folder.Of("file")));
        Assert.Equal(0x1EDu, _folder.PermissionsOf("file"));

        // Back to plain: nothing is left beside the file.
        Assert.Equal(Errno.None, client.SetAttributes(fid, Mode | User | Group, mode: 0x1A4));
        Assert.Equal((0x81A4u, 0u, 0u, 0ul), client.Stat(fid));
        uint attribute = client.NewFid();
        Assert.Equal(Errno.None, client.Ask(MessageType.WalkExtendedAttribute, new Fields().Add(fid).Add(attribute).Add("")));
        Assert.Empty(client.Read(attribute, 0, 100));
        Assert.DoesNotContain("colinux", ListOnHost("file"), StringComparison.Ordinal);
    }

    // What the host's user may not write: for root there is no such thing.
    [Fact]
    public void Map_OwnerOfReadOnlyFile_IsNotedAndPermissionsStay()
    {
        using ShareClient client = new(_folder.Path);
        uint fid = client.Create("file", permissions: 0b100_100_100);
        Errno error = client.SetAttributes(fid, User | Group, user: 1000, group: 2000);
        Assert.SkipWhen(
            error == Errno.EPERM && client.SetAttributes(client.Create("writable"), User, user: 1000) == Errno.EPERM, "The file system has no extended attributes.");

        Assert.Equal(Errno.None, error);
        Assert.Equal((0x8124u, 1000u, 2000u, 0ul), client.Stat(fid));
        Assert.Equal(0x124u, _folder.PermissionsOf("file"));
    }

    [Fact]
    public void Map_SetIdFileMadeByTheGuest_HasNoPowerOnTheHost()
    {
        using ShareClient client = new(_folder.Path);
        client.Create("file", permissions: 0xDED);
        client.Ask(MessageType.MakeNode, new Fields().Add(client.Root).Add("node").Add(0x8000u | 0xDED).Add(0ul).Add(0u));

        Assert.Equal(0x1EDu, _folder.PermissionsOf("file"));
        Assert.Equal(0x1EDu, _folder.PermissionsOf("node"));
    }

    [Fact]
    public void Map_OtherUserOfTheGuest_OwnsWhatSheMakes()
    {
        using ShareClient client = new(_folder.Path);
        uint root = client.NewFid();
        Assert.Equal(Errno.None, client.Ask(MessageType.Attach, new Fields().Add(root).Add(uint.MaxValue).Add("").Add("").Add(1000u)));
        Assert.Equal(Errno.None, client.Ask(MessageType.MakeDirectory, new Fields().Add(root).Add("folder").Add(511u).Add(1001u)));

        (_, uint user, uint group, _) = client.Stat(client.Find("folder"));

        Assert.SkipWhen(user == 0, "The file system has no extended attributes.");
        Assert.Equal((1000u, 1001u), (user, group));
    }

    [Fact]
    public void Map_OwnerOfALink_IsRefused()
    {
        using ShareClient client = new(_folder.Path);
        File.CreateSymbolicLink(_folder.Of("link"), "x");
        Assert.Equal(Errno.EPERM, client.SetAttributes(client.Find("link"), User, user: 5));
        Assert.Equal(Errno.None, client.SetAttributes(client.Find("link"), User, user: 0));
    }

    [Fact]
    public void Keep_Numbers_AreTheHosts()
    {
        using ShareClient client = new(_folder.Path, owner: OwnerPolicy.Keep);
        uint fid = client.Create("file");
        string[] host = ShareTestFolder.Run("stat", "-c", "%u:%g", _folder.Of("file")).Trim().Split(':');
        (_, uint user, uint group, _) = client.Stat(fid);
        Assert.Equal(string.Join(":", host), $"{user}:{group}");

        Errno error = client.SetAttributes(fid, User | Group, user: 1234, group: 1235);

        if (Environment.UserName == "root")
        {
            Assert.Equal(Errno.None, error);
            Assert.Equal("1234:1235", ShareTestFolder.Run("stat", "-c", "%u:%g", _folder.Of("file")).Trim());
        }
        else
        {
            Assert.Equal(Errno.EPERM, error);
        }
    }

    private string ListOnHost(string name) =>
        ShareTestFolder.Run("sh", "-c", "python3 -c 'import os,sys; print(os.listxattr(sys.argv[1]))' \"$0\" 2>/dev/null", _folder.Of(name));
}
