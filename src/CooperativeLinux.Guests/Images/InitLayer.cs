using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Guests.Files;

namespace CooperativeLinux.Guests.Images;

/// <summary>
/// What every guest of ours starts with: the first process (a shell script run by a static busybox under
/// <c>/colinux</c>), mount points and device nodes.
/// </summary>
internal static class InitLayer
{
    private const string ResourcePrefix = "CooperativeLinux.Guests.Images.Scripts.";

    // Raise when what the code below puts into an image changes; the scripts count by themselves.
    private const string Format = "3";

    /// <summary>Commands that end the guest.</summary>
    private static readonly string[] s_endings = ["poweroff", "reboot", "halt"];

    /// <summary>A short text that differs between versions of what this class puts into an image.</summary>
    public static string Fingerprint(params ReadOnlySpan<string> more)
    {
        string text = string.Join('\0', [Format, Script("init.sh"), Script("poweroff.sh"), Script("udhcpc.sh"), Script("memory.sh"), Script("agent.sh"), .. more]);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];
    }

    /// <summary>Adds the folders and links of a system with a merged /usr; call it before anything else is added.</summary>
    public static void AddSkeleton(FileTree tree)
    {
        foreach (string folder in (string[])["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "etc", "dev", "proc", "sys", "run", "mnt", "var/log", "var/lib", "colinux/bin"])
        {
            tree.AddDirectory(folder);
        }

        foreach (string name in (string[])["bin", "sbin", "lib", "lib64"])
        {
            tree.AddLink(name, "usr/" + name);
        }

        tree.AddDirectory("root", 0b111_000_000);
        tree.AddDirectory("tmp", 0b1_111_111_111);
        tree.AddDirectory("var/tmp", 0b1_111_111_111);
        tree.AddLink("var/run", "/run");
        tree.AddLink("var/lock", "/run/lock");

        // The kernel opens /dev/console before the first process can mount anything.
        tree.AddCharacterDevice("dev/console", 5, 1, 0b110_000_000);
        tree.AddCharacterDevice("dev/null", 1, 3, 0b110_110_110);
    }

    /// <summary>Adds the first process and its tools, and files that no package has brought.</summary>
    /// <param name="tree">The guest's files.</param>
    /// <param name="busyboxPath">The host's file with a static busybox.</param>
    /// <param name="applets">Its applets with their usual places, such as <c>usr/bin/awk</c>.</param>
    public static void AddInit(FileTree tree, string busyboxPath, IEnumerable<string> applets)
    {
        tree.AddFile("colinux/busybox", busyboxPath, 0b111_101_101);
        foreach (string applet in applets)
        {
            tree.AddLink("colinux/bin/" + Path.GetFileName(applet), "../busybox");
        }

        tree.AddText("init", Script("init.sh"), 0b111_101_101);
        tree.AddText("colinux/udhcpc.sh", Script("udhcpc.sh"), 0b111_101_101);
        tree.AddText("colinux/memory.sh", Script("memory.sh"), 0b111_101_101);
        tree.AddText("colinux/agent.sh", Script("agent.sh"), 0b111_101_101);
        foreach (string name in s_endings)
        {
            AddMissing("usr/sbin/" + name, Script("poweroff.sh"), 0b111_101_101);
        }

        if (!tree.Exists("usr/sbin/modprobe"))
        {
            tree.AddLink("usr/sbin/modprobe", "/colinux/busybox");
        }

        AddMissing("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
        AddMissing("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n");
        AddMissing("etc/shadow", "root:*:19000:0:99999:7:::\n", 0b110_000_000);
        AddMissing("etc/hostname", "colinux\n");
        AddMissing("etc/hosts", "127.0.0.1\tlocalhost colinux\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        AddMissing("etc/resolv.conf", "");
        AddMissing("etc/fstab", "");
        AddMissing("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n");
        AddMissing("etc/shells", "/bin/sh\n/bin/bash\n");

        // busybox's shell prefers its own commands to these, and they ask a first process of another kind.
        AddMissing(
            "etc/profile",
            "export PS1='\\u@\\h:\\w\\$ '\nexport TERM=${TERM:-linux}\n" + string.Concat(s_endings.Select(name => $"alias {name}=/usr/sbin/{name}\n")));
        if (!tree.Exists("etc/mtab"))
        {
            tree.AddLink("etc/mtab", "/proc/self/mounts");
        }

        void AddMissing(string path, string text, int permissions = 0b110_100_100)
        {
            if (!tree.Exists(path))
            {
                tree.AddText(path, text, permissions);
            }
        }
    }

    /// <summary>The text of one of our scripts.</summary>
    internal static string Script(string name)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(ResourcePrefix + name)
            ?? throw new InvalidOperationException($"the resource {name} is missing");
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }
}
