using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>That the backend rests while it waits. The whole process is watched, in which no other test runs.</summary>
public sealed class FileShareRestTests : IDisposable
{
    private readonly ShareTestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Message_InPieces_IsServedWhenWholeAndWaitsAtRest()
    {
        using ShareFrontend guest = new(_folder.Path);
        guest.Connect();
        guest.Attach();
        byte[] message = new Fields().Add(1u).Add(0x7FFul).ToMessage(MessageType.GetAttributes, 1);
        guest.Send(0, message[..3]);
        guest.Send(0, message[3..12]);

        // A backend that does not rest uses a processor all the time.
        Assert.Contains(Enumerable.Range(0, 10), _ =>
        {
            TimeSpan before = Environment.CpuUsage.TotalTime;
            Thread.Sleep(300);
            return Environment.CpuUsage.TotalTime - before < TimeSpan.FromMilliseconds(150);
        });
        guest.Send(0, message[12..]);
        Assert.Equal((byte)MessageType.GetAttributes + 1, guest.Receive(0)[4]);
    }
}
