using System.Text;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>A script that is too long for the kernel's command line: a guest of BusyBox reads it from a disk, <c>xvdz</c>.</summary>
internal static class ScriptDisk
{
    /// <summary>What to append to the kernel's command line.</summary>
    public const string Command = "colinux.script=\"sh /dev/xvdz\"";

    private const int SectorSize = 512;

    /// <summary>Writes the script to a file.</summary>
    /// <param name="folder">Where the file is made, or made anew.</param>
    /// <param name="script">The script.</param>
    /// <returns>The disk, as an argument of <c>--disk</c>.</returns>
    public static string Make(string folder, string script)
    {
        string path = Path.Combine(folder, "script.img");
        byte[] text = Encoding.UTF8.GetBytes(script.ReplaceLineEndings("\n") + "\n");
        byte[] content = new byte[(text.Length + SectorSize - 1) / SectorSize * SectorSize];
        content.AsSpan().Fill((byte)'\n');
        text.CopyTo(content, 0);
        File.WriteAllBytes(path, content);
        return path + ",ro,name=xvdz";
    }
}
