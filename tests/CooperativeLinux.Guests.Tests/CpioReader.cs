using System.Globalization;
using System.Text;

namespace CooperativeLinux.Guests.Tests;

/// <summary>Reads newc archives, written from the format's description alone, as the counterpart in tests.</summary>
internal static class CpioReader
{
    internal sealed record Entry(
        string Path, int Inode, int Mode, int UserId, int GroupId, int Links, long Modified, int Major, int Minor, byte[] Content)
    {
        public string Text => Encoding.UTF8.GetString(Content);
    }

    public static IReadOnlyList<Entry> Read(ReadOnlySpan<byte> archive)
    {
        List<Entry> entries = [];
        int position = 0;
        while (true)
        {
            ReadOnlySpan<byte> header = archive.Slice(position, 110);
            Assert.Equal("070701", Encoding.ASCII.GetString(header[..6]));
            int[] fields = new int[13];
            for (int i = 0; i < fields.Length; i++)
            {
                fields[i] = int.Parse(Encoding.ASCII.GetString(header.Slice(6 + (i * 8), 8)), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            }

            string path = Encoding.UTF8.GetString(archive.Slice(position + 110, fields[11] - 1));
            Assert.Equal(0, archive[position + 110 + fields[11] - 1]);
            int content = Align(position + 110 + fields[11]);
            if (path == "TRAILER!!!")
            {
                Assert.True(archive[content..].IndexOfAnyExcept((byte)0) < 0);
                return entries;
            }

            entries.Add(new Entry(path, fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[9], fields[10], archive.Slice(content, fields[6]).ToArray()));
            position = Align(content + fields[6]);
        }
    }

    private static int Align(int position)
    {
        return (position + 3) & ~3;
    }
}
