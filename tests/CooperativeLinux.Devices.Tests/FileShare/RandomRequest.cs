using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>Requests that no sane guest sends.</summary>
internal static class RandomRequest
{
    private static readonly MessageType[] Types =
        [.. Enum.GetValues<MessageType>().Where(type => type is not (MessageType.ErrorAnswer or MessageType.Version))];

    private static readonly string[] Names = ["a", "b", "c", "d", "link", "up", "..", ".", "", "a/b", "../outside", "fifo", "x\0y", "user.x", "/", "outside", "secret"];

    /// <summary>Any type but the one that ends the session.</summary>
    public static MessageType Type(Random random) => Types[random.Next(Types.Length)];

    /// <summary>The fields of a request, well formed, with anything in them. Fids are mostly from 1 to 11.</summary>
    public static Fields Compose(MessageType type, Random random)
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
