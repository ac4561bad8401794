using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>A guest that sends any requests. The seed is in every failure and can be set by COLINUX_TEST_SEED.</summary>
public sealed class HostileShareTests : IDisposable
{
    private readonly ShareTestFolder _folder = new();
    private readonly int _seed = int.TryParse(Environment.GetEnvironmentVariable("COLINUX_TEST_SEED"), out int seed) ? seed : Environment.TickCount;

    public HostileShareTests() => TestContext.Current.SendDiagnosticMessage($"seed {_seed}");

    public void Dispose()
    {
        _folder.AssertOutsideIsUntouched();
        if (!OperatingSystem.IsWindows())
        {
            ShareTestFolder.Run("chmod", "-R", "u+rwx", _folder.Path);
        }

        _folder.Dispose();
    }

    [Fact]
    public void Messages_RandomBytes_GetAnErrorAtWorst()
    {
        Random random = new(_seed);
        using ShareClient client = new(_folder.Path);
        byte[] buffer = new byte[client.Session.AnswerBufferSize];
        for (int i = 0; i < Count(30_000); i++)
        {
            byte[] message = new byte[7 + random.Next(random.Next(2) == 0 ? 20 : 200)];
            random.NextBytes(message);
            message[4] = (byte)RandomRequest.Type(random);
            BinaryPrimitives.WriteInt32LittleEndian(message, message.Length);
            BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(5), (ushort)i);
            try
            {
                client.Session.Serve(0, message, buffer);
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {_seed}, message {i}: {exception}");
            }
        }

        Assert.Equal(Errno.None, client.Walk(client.Root, out _));
    }

    [Fact]
    public void Requests_RandomAndWellFormed_StayInside()
    {
        Populate();
        Random random = new(_seed);
        using ShareClient client = new(_folder.Path);
        Run(client, random, Count(15_000));
        Assert.True(client.Clunk(0xFFFF0000) == Errno.EBADF, $"seed {_seed}");
    }

    [Fact]
    public void Requests_RandomByFourThreads_StayInside()
    {
        Populate();
        using ShareClient client = new(_folder.Path);
        List<Exception> failures = [];
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(number => new Thread(() =>
        {
            try
            {
                Run(client, new Random(_seed + number), Count(5_000), (ushort)(number << 14));
            }
            catch (Exception exception)
            {
                lock (failures)
                {
                    failures.Add(exception);
                }
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.True(failures.Count == 0, $"seed {_seed}: {failures.FirstOrDefault()}");
    }

    // Calls of the host take long under Wine.
    private static int Count(int usual) => OperatingSystem.IsWindows() ? usual / 10 : usual;

    private void Populate()
    {
        Directory.CreateDirectory(_folder.Of("a/b/c"));
        File.WriteAllText(_folder.Of("b"), "text");
        if (OperatingSystem.IsWindows())
        {
            // Links take rights there, and there are no FIFOs.
            return;
        }

        File.CreateSymbolicLink(_folder.Of("link"), _folder.Outside);
        File.CreateSymbolicLink(_folder.Of("up"), "..");
        ShareTestFolder.Run("mkfifo", _folder.Of("fifo"));
    }

    // Tags from a range of its own, so that several can run at once.
    private static void Run(ShareClient client, Random random, int count, ushort firstTag = 1)
    {
        byte[] buffer = new byte[client.Session.AnswerBufferSize];
        ushort tag = firstTag;
        for (int i = 0; i < count; i++)
        {
            MessageType type = RandomRequest.Type(random);
            byte[] message = RandomRequest.Compose(type, random).ToMessage(type, tag);
            client.Session.Serve(0, message, buffer);
            tag = (ushort)(firstTag + (i % 16000));
            if (i % 100 == 0)
            {
                // An attempt with the links that lead outside must not succeed either.
                client.Session.Serve(0, new Fields().Add(client.Root).Add(5u).Add((ushort)2).Add("link").Add("secret").ToMessage(MessageType.Walk, tag), buffer);
            }
        }
    }
}
