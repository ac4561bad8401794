using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>A guest that sends anything. The seed is in every failure and can be set by COLINUX_TEST_SEED.</summary>
public sealed class HostileShareTests : IDisposable
{
    private static readonly byte[] Types = [.. Enum.GetValues<MessageType>().Select(type => (byte)type).Where(type => type is not (7 or 100))];
    private static readonly string[] Names = ["a", "b", "c", "d", "link", "up", "..", ".", "", "a/b", "../outside", "fifo", "x\0y", "user.x", "/", "outside", "secret"];

    private readonly ShareTestFolder _folder = new();
    private readonly int _seed = int.TryParse(Environment.GetEnvironmentVariable("COLINUX_TEST_SEED"), out int seed) ? seed : Environment.TickCount;

    public HostileShareTests() => TestContext.Current.SendDiagnosticMessage($"seed {_seed}");

    public void Dispose()
    {
        _folder.AssertOutsideIsUntouched();
        ShareTestFolder.Run("chmod", "-R", "u+rwx", _folder.Path);
        _folder.Dispose();
    }

    [Fact]
    public void Messages_RandomBytes_GetAnErrorAtWorst()
    {
        Random random = new(_seed);
        using ShareClient client = new(_folder.Path);
        byte[] buffer = new byte[client.Session.AnswerBufferSize];
        for (int i = 0; i < 30_000; i++)
        {
            byte[] message = new byte[7 + random.Next(random.Next(2) == 0 ? 20 : 200)];
            random.NextBytes(message);
            message[4] = Types[random.Next(Types.Length)];
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
        Run(client, random, 15_000);
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
                Run(client, new Random(_seed + number), 5_000, (ushort)(number << 14));
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

    private void Populate()
    {
        Directory.CreateDirectory(_folder.Of("a/b/c"));
        File.WriteAllText(_folder.Of("b"), "text");
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
            MessageType type = (MessageType)Types[random.Next(Types.Length)];
            byte[] message = Compose(type, random).ToMessage(type, tag);
            client.Session.Serve(0, message, buffer);
            tag = (ushort)(firstTag + (i % 16000));
            if (i % 100 == 0)
            {
                // An attempt with the links that lead outside must not succeed either.
                client.Session.Serve(0, new Fields().Add(client.Root).Add(5u).Add((ushort)2).Add("link").Add("secret").ToMessage(MessageType.Walk, tag), buffer);
            }
        }
    }

    private static Fields Compose(MessageType type, Random random)
    {
        Fields fields = new();
        return type switch
        {
            MessageType.Walk => Walk(),
            MessageType.Open => fields.Add(Fid()).Add(Flags()),
            MessageType.Create => fields.Add(Fid()).Add(Name()).Add(Flags()).Add((uint)random.Next(4096)).Add(Id()),
            MessageType.SymbolicLink => fields.Add(Fid()).Add(Name()).Add(random.Next(2) == 0 ? "/etc" : "../outside/secret").Add(Id()),
            MessageType.MakeNode => fields.Add(Fid()).Add(Name()).Add((uint)random.Next(65536)).Add(Number()).Add(Id()),
            MessageType.Rename => fields.Add(Fid()).Add(Fid()).Add(Name()),
            MessageType.SetAttributes => fields.Add(Fid()).Add((uint)random.Next(1024)).Add((uint)random.Next(4096)).Add(Id()).Add(Id())
                .Add(Number() & 0xFFFFF).Add(Number()).Add(Number()).Add(Number()).Add(Number()),
            MessageType.WalkExtendedAttribute => fields.Add(Fid()).Add(Fid()).Add(Name()),
            MessageType.CreateExtendedAttribute => fields.Add(Fid()).Add(Name()).Add(Number()).Add((uint)random.Next(4)),
            MessageType.ReadDirectory or MessageType.Read => fields.Add(Fid()).Add(Number()).Add((uint)Number()),
            MessageType.Lock => fields.Add(Fid()).Add((byte)random.Next(4)).Add(0u).Add(Number()).Add(Number()).Add(Id()).Add("x"),
            MessageType.GetLock => fields.Add(Fid()).Add((byte)random.Next(4)).Add(Number()).Add(Number()).Add(Id()).Add("x"),
            MessageType.Link => fields.Add(Fid()).Add(Fid()).Add(Name()),
            MessageType.MakeDirectory => fields.Add(Fid()).Add(Name()).Add((uint)random.Next(4096)).Add(Id()),
            MessageType.RenameAt => fields.Add(Fid()).Add(Name()).Add(Fid()).Add(Name()),
            MessageType.UnlinkAt => fields.Add(Fid()).Add(Name()).Add(random.Next(2) == 0 ? 0u : 0x200u),
            MessageType.Attach => fields.Add(Fid()).Add(uint.MaxValue).Add("").Add(Name()).Add(Id()),
            MessageType.Flush => fields.Add((ushort)random.Next(65536)),
            MessageType.Write => Write(),
            _ => fields.Add(Fid()).Add(Number()).Add(Number()),
        };

        uint Fid() => random.Next(20) == 0 ? (uint)random.Next() : (uint)random.Next(1, 12);
        uint Id() => (uint)random.Next(-2, 3);
        uint Flags() => (uint)random.Next(4) | (random.Next(3) == 0 ? (uint)random.Next() : 0);
        string Name() => Names[random.Next(Names.Length)];
        ulong Number() => random.Next(4) switch
        {
            0 => (ulong)random.Next(100),
            1 => (ulong)random.NextInt64(),
            2 => ulong.MaxValue - (ulong)random.Next(100),
            _ => (ulong)random.Next(1 << 20),
        };

        Fields Walk()
        {
            int count = random.Next(4);
            fields.Add(Fid()).Add(Fid()).Add((ushort)count);
            for (int i = 0; i < count; i++)
            {
                fields.Add(Name());
            }

            return fields;
        }

        Fields Write()
        {
            byte[] data = new byte[random.Next(1000)];
            return fields.Add(Fid()).Add(Number() & 0xFFFFF).Add(random.Next(10) == 0 ? uint.MaxValue : (uint)data.Length).Add(data);
        }
    }
}
