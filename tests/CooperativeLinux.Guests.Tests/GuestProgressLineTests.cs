namespace CooperativeLinux.Guests.Tests;

public sealed class GuestProgressLineTests
{
    [Fact]
    public void Report_SameTextTwice_IsWrittenOnceAndErasedAtTheEnd()
    {
        using StringWriter writer = new();
        GuestProgressLine line = new(writer);

        line.Report(new GuestProgress("Fetching x", 0.501));
        line.Report(new GuestProgress("Fetching x", 0.502));
        line.Dispose();

        Assert.Equal("\r\e[KFetching x 50 %\r\e[K", writer.ToString());
    }
}
