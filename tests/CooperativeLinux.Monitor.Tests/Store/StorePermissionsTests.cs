using CooperativeLinux.Monitor.Store;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Store;

public sealed class StorePermissionsTests
{
    [Fact]
    public void TryParse_Entries_RoundTrip()
    {
        Assert.True(StorePermissions.TryParse(["n1", "r2", "w3", "b4"], out StorePermissions permissions));

        Assert.Equal(["n1", "r2", "w3", "b4"], permissions.Format());
        Assert.Equal(1, permissions.Owner);
        Assert.Equal(StoreAccess.ReadWrite, permissions.AccessOf(1));
        Assert.Equal(StoreAccess.ReadWrite, permissions.AccessOf(0));
        Assert.Equal(StoreAccess.Read, permissions.AccessOf(2));
        Assert.Equal(StoreAccess.Write, permissions.AccessOf(3));
        Assert.Equal(StoreAccess.ReadWrite, permissions.AccessOf(4));
        Assert.Equal(StoreAccess.None, permissions.AccessOf(5));
    }

    [Theory]
    [InlineData("x1")]
    [InlineData("n")]
    [InlineData("")]
    [InlineData("n-1")]
    [InlineData("n99999")]
    [InlineData("n 1")]
    public void TryParse_Nonsense_IsRefused(string entry)
    {
        Assert.False(StorePermissions.TryParse(["n0", entry], out _));
    }

    [Fact]
    public void TryParse_Nothing_IsRefused()
    {
        Assert.False(StorePermissions.TryParse([], out _));
    }
}
