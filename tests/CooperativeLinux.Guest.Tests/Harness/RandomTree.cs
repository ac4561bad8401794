namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>A folder with files of many sizes, with odd names, permissions and times, and links.</summary>
internal static class RandomTree
{
    /// <summary>Makes it.</summary>
    public static void Make(string top, Random random)
    {
        Directory.CreateDirectory(top);
        File.WriteAllText(Path.Combine(top, "plain"), "text");
        File.SetLastWriteTimeUtc(Path.Combine(top, "plain"), DateTime.UnixEpoch.AddDays(1));
        for (int i = 0; i < 150; i++)
        {
            string folder = Path.Combine(top, $"folder {i % 7}", $"ünï {i % 3}");
            Directory.CreateDirectory(folder);
            string path = Path.Combine(folder, $"file {i} 文🙂");
            byte[] content = new byte[random.Next(4) == 0 ? random.Next(700_000) : random.Next(5000)];
            random.NextBytes(content);
            File.WriteAllBytes(path, content);

            // Whole seconds, since Linux's 9p cuts the times that are set.
            File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch.AddSeconds(random.Next()));
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(path, (UnixFileMode)(random.Next(0b1_000_000) << 3 | 0b100_000_000));
            }

            File.CreateSymbolicLink(path + ".link", random.Next(2) == 0 ? Path.GetFileName(path) : "/no/such/file");
        }
    }

    /// <summary>Each path of a folder with permissions, time, and content or target, as the host sees it.</summary>
    public static string Describe(string folder)
    {
        string output = HostTool.Do(
            "sh",
            "-c",
            "cd \"$0\" && find . -type f -exec stat -c '%n %A %y' {} + -exec sha256sum {} + -o -type l -printf '%p %l\\n' -o -printf '%p %M\\n' | LC_ALL=C sort",
            folder);
        Assert.True(output.Split('\n').Length > 400, output);
        return output;
    }
}
