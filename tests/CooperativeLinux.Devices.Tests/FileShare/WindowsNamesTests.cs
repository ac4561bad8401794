using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Devices.FileShare.Sys;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>What names and links of Windows are to the guest; computed alike on every host.</summary>
public sealed class WindowsNamesTests
{
    [Theory]
    [InlineData("plain.txt", "plain.txt")]
    [InlineData("Grüße 文", "Grüße 文")]
    [InlineData("a:b", "a\uF03Ab")]
    [InlineData("file::$DATA", "file\uF03A\uF03A$DATA")]
    [InlineData(@"..\outside", "..\uF05Coutside")]
    [InlineData("what?*<>|\"", "what\uF03F\uF02A\uF03C\uF03E\uF07C\uF022")]
    [InlineData("bell\a", "bell\uF007")]
    [InlineData("dot.", "dot\uF02E")]
    [InlineData("...", "..\uF02E")]
    [InlineData("blank ", "blank\uF020")]
    [InlineData("CON", "\uF043ON")]
    [InlineData("nul.txt", "\uF06Eul.txt")]
    [InlineData("nul.", "\uF06Eul\uF02E")]
    [InlineData("Com1 .x", "\uF043om1 .x")]
    [InlineData("lpt³", "\uF06Cpt³")]
    [InlineData("conin$", "\uF063onin$")]
    [InlineData("aux:x", "\uF061ux\uF03Ax")]
    [InlineData("com", "com")]
    [InlineData("console", "console")]
    [InlineData("PROGRA~1", "PROGRA~1")]
    public void Name_OfTheGuest_IsAPlainOneOfWindows_AndComesBack(string name, string expected)
    {
        Assert.Equal(Errno.None, TryEncode(Encoding.UTF8.GetBytes(name), out string text));
        Assert.Equal(expected, text);
        Assert.Equal(name, WindowsNames.Decode(text));
    }

    [Theory]
    [InlineData("a\uF03Ab")]
    [InlineData("\uF043ON")]
    [InlineData("dot\uF02E")]
    [InlineData("\uF02E")]
    public void Name_ThatStandsForAnother_IsRefused(string name) => Assert.Equal(Errno.EINVAL, TryEncode(Encoding.UTF8.GetBytes(name), out _));

    [Fact]
    public void Name_NoText_OrTooLongForWindows_IsRefused()
    {
        Assert.Equal(Errno.EINVAL, TryEncode([0xFF, 0x41], out _));
        Assert.Equal(Errno.EINVAL, TryEncode([0xED, 0xA0, 0x80], out _));
        Assert.Equal(Errno.None, TryEncode(Encoding.ASCII.GetBytes(new string('x', 255)), out _));
    }

    [Theory]
    [InlineData("\uF02E")]
    [InlineData(".\uF02E")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a/b")]
    public void Name_OfWindows_ThatTheGuestCannotHave_IsLeftOut(string text) => Assert.Null(WindowsNames.Decode(text));

    [Fact]
    public void Names_AtRandom_AreAllDifferentAndComeBack()
    {
        const string Characters = "aCONnul1.: $?\\\u0001\uF03A\uF02E\uF043\uF020x";
        Random random = new(11);
        Dictionary<string, string> guestNames = [];
        for (int i = 0; i < 50_000; i++)
        {
            string name = string.Concat(Enumerable.Range(0, random.Next(1, 7)).Select(_ => Characters[random.Next(Characters.Length)]));
            if (FileName.TryCreate(Encoding.UTF8.GetBytes(name), out FileName checkedName) != Errno.None || WindowsNames.TryEncode(checkedName, out string text) != Errno.None)
            {
                continue;
            }

            Assert.Equal(name, WindowsNames.Decode(text));
            Assert.DoesNotContain(text, character => character < ' ' || "\"*:<>?\\|/".Contains(character, StringComparison.Ordinal));
            Assert.False(text.EndsWith('.') || text.EndsWith(' '));
            Assert.Equal(name, guestNames.TryGetValue(text, out string? other) ? other : guestNames[text] = name);
        }

        Assert.True(guestNames.Count > 1000);
    }

    [Theory]
    [InlineData(0xA000_000Cu, 0xA000u)] // a symbolic link
    [InlineData(0xA000_0003u, 0xA000u)] // a junction or a mounted volume
    [InlineData(0xA000_001Du, 0xA000u)] // a link of WSL
    [InlineData(0x8000_0023u, 0xC000u)] // a socket
    [InlineData(0x8000_0024u, 0x1000u)] // a FIFO of WSL
    [InlineData(0xA000_0027u, 0xC000u)] // another kind of stand-in: shown, never opened
    [InlineData(0x8000_0013u, 0x8000u)] // content stored together with that of others
    public void ReparsePoint_IsAFileType(uint tag, uint type) => Assert.Equal(type, WindowsReparse.TypeOf(tag, FileStatus.Regular));

    [Fact]
    public void ReparsePoint_OfALink_TellsWhereItLeads()
    {
        Assert.Equal("../there", Read(Reparse(0xA000_001D, [2, 0, 0, 0, .. "../there"u8])));
        Assert.Equal("../a/b", Read(Reparse(0xA000_000C, Names(flags: 1, @"..\a\b", @"..\a\b"))));
        Assert.Equal("C:/a", Read(Reparse(0xA000_000C, Names(flags: 0, @"\??\C:\a", @"C:\a"))));
        Assert.Equal("/??/C:/a", Read(Reparse(0xA000_0003, Names(flags: null, @"\??\C:\a", ""))));
    }

    [Fact]
    public void ReparsePoint_ThatMakesNoSense_IsNoLink()
    {
        byte[] good = Reparse(0xA000_000C, Names(flags: 1, "abc", "abc"));
        for (int length = 0; length < good.Length; length++)
        {
            WindowsReparse.TryParse(good.AsSpan(0, length), out _);
        }

        Random random = new(5);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bad = (byte[])good.Clone();
            bad[random.Next(bad.Length)] = (byte)random.Next(256);
            bad[random.Next(4, bad.Length)] = (byte)random.Next(256);
            WindowsReparse.TryParse(bad, out _);
        }

        Assert.False(WindowsReparse.TryParse(good.AsSpan(0, good.Length - 6), out _));
        Assert.False(WindowsReparse.TryParse(Reparse(0xA000_001D, [1, 0, 0, 0, 65]), out _));
        Assert.False(WindowsReparse.TryParse(Reparse(0x8000_0013, [1, 0, 0, 0, 65]), out _));
    }

    private static Errno TryEncode(byte[] name, out string text)
    {
        Assert.Equal(Errno.None, FileName.TryCreate(name, out FileName checkedName));
        return WindowsNames.TryEncode(checkedName, out text);
    }

    private static string Read(byte[] buffer)
    {
        Assert.True(WindowsReparse.TryParse(buffer, out byte[] target));
        return Encoding.UTF8.GetString(target);
    }

    private static byte[] Reparse(uint tag, byte[] data)
    {
        byte[] buffer = [.. BitConverter.GetBytes(tag), .. BitConverter.GetBytes((ushort)data.Length), 0, 0, .. data];
        return buffer;
    }

    /// <summary>The data of a Windows link (with flags) or of a junction (without).</summary>
    private static byte[] Names(uint? flags, string substitute, string print)
    {
        byte[] first = Encoding.Unicode.GetBytes(substitute);
        byte[] second = Encoding.Unicode.GetBytes(print);
        byte[] head = new byte[8];
        BinaryPrimitives.WriteUInt16LittleEndian(head.AsSpan(2), (ushort)first.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(head.AsSpan(4), (ushort)first.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(head.AsSpan(6), (ushort)second.Length);
        return [.. head, .. flags is uint value ? BitConverter.GetBytes(value) : [], .. first, .. second];
    }
}
