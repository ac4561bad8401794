using System.Text;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images.Compression;

/// <summary>Named contents to compress, the same in every run.</summary>
internal static class Samples
{
    /// <summary>A large one, for few cases.</summary>
    public const string LongDistanceName = "long-distance";

    public static readonly string[] Names =
        ["empty", "one", "zeros", "random", "text", "code", "periods", "mixed"];

    public static byte[] Get(string name) => name switch
    {
        "empty" => [],
        "one" => [42],
        "zeros" => new byte[300_000],
        "random" => Random(200_000, 1),
        "text" => Text(200_000, 2),
        "code" => File.ReadAllBytes(typeof(Assert).Assembly.Location)[..150_000],
        "periods" => Periods(),
        "mixed" => Mixed(),
        LongDistanceName => LongDistance(),
        _ => throw new ArgumentOutOfRangeException(nameof(name)),
    };

    public static byte[] Random(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public static byte[] Text(int length, int seed)
    {
        Random random = new(seed);
        string[] words = [.. Enumerable.Range(0, 2000).Select(_ => new string(
            [.. Enumerable.Range(0, random.Next(1, 12)).Select(_ => (char)random.Next('a', 'z' + 1))]))];
        StringBuilder text = new(length + 16);
        while (text.Length < length)
        {
            // Low numbers are frequent, as in language.
            text.Append(words[(int)(random.NextDouble() * random.NextDouble() * words.Length)]).Append(' ');
        }

        return Encoding.ASCII.GetBytes(text.ToString(0, length));
    }

    // Every distance from 1 to 40 with runs of many lengths: the overlapping copies.
    private static byte[] Periods()
    {
        Random random = new(3);
        List<byte> bytes = [];
        for (int period = 1; period <= 40; period++)
        {
            foreach (int length in (int[])[3, 7, 15, 16, 17, 33, 300, 5000])
            {
                byte[] pattern = Random(period, random.Next());
                for (int i = 0; i < length; i++)
                {
                    bytes.Add(pattern[i % period]);
                }
            }
        }

        return [.. bytes];
    }

    private static byte[] Mixed()
    {
        Random random = new(4);
        byte[] text = Text(100_000, 5);
        List<byte> bytes = [];
        while (bytes.Count < 500_000)
        {
            int length = random.Next(1, 20_000);
            switch (random.Next(4))
            {
                case 0:
                    bytes.AddRange(Random(length, random.Next()));
                    break;
                case 1:
                    bytes.AddRange(new byte[length]);
                    break;
                case 2:
                    bytes.AddRange(text.AsSpan(random.Next(text.Length - 20_000), length));
                    break;
                default:
                    int from = random.Next(bytes.Count + 1);
                    bytes.AddRange(bytes.GetRange(from, Math.Min(length, bytes.Count - from)));
                    break;
            }
        }

        return [.. bytes];
    }

    // Matches from far back, and more than the 8 MiB of one LZ4 block.
    private static byte[] LongDistance()
    {
        byte[] bytes = new byte[17 << 20];
        byte[] random = Random(1 << 20, 6);
        random.CopyTo(bytes, 0);
        random.CopyTo(bytes, 9 << 20);
        random.CopyTo(bytes, (16 << 20) - 77);
        return bytes;
    }
}
