using System.Text;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Packages;

namespace CooperativeLinux.Guests.Machines;

/// <summary>The configuration files of a new Debian: what an installer would ask for and write.</summary>
internal static class DebianRootFiles
{
    private const int Executable = 0b111_101_101;
    private const string DebianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

    /// <summary>Makes the files, with paths from the root.</summary>
    /// <param name="options">What is installed.</param>
    /// <param name="sources">Where packages come from, also later in the guest.</param>
    public static FileTree Create(DebianRootOptions options, IReadOnlyList<AptSource> sources)
    {
        FileTree tree = new();
        tree.AddText("etc/hostname", options.HostName + "\n");
        tree.AddText("etc/hosts", $"127.0.0.1\tlocalhost\n127.0.1.1\t{options.HostName}\n::1\tlocalhost ip6-localhost ip6-loopback\n");

        // The installation adds the root, when it knows the UUID.
        tree.AddText("etc/fstab", "# <device> <folder> <type> <options> <dump> <check>\n");
        tree.AddText("etc/default/locale", "LANG=C.UTF-8\n");
        tree.AddText("etc/systemd/network/20-wired.network", "[Match]\nType=ether\n\n[Network]\nDHCP=yes\n");

        // networkd asks for wireless networks, which would load drivers that complain about firmware.
        tree.AddText("etc/modprobe.d/colinux.conf", "blacklist cfg80211\n");
        AddConsole(tree);
        AddInitramfs(tree);
        tree.AddText("usr/local/lib/colinux/memory.sh", InitLayer.Script("memory.sh"), Executable);
        tree.AddText(
            "etc/systemd/system/colinux-memory.service",
            """
            [Unit]
            Description=Tell the host which memory is free
            ConditionKernelCommandLine=colinux.balloon
            ConditionPathExists=/dev/xen/xenbus

            [Service]
            ExecStart=/bin/sh /usr/local/lib/colinux/memory.sh

            [Install]
            WantedBy=multi-user.target

            """);
        tree.AddText("usr/local/lib/colinux/mount-shares.sh", InitLayer.Script("mount-shares.sh"), Executable);
        tree.AddText(
            "etc/systemd/system/colinux-shares.service",
            """
            [Unit]
            Description=Mount the folders of the host
            ConditionKernelCommandLine=colinux.mount
            After=local-fs.target

            [Service]
            Type=oneshot
            RemainAfterExit=yes
            ExecStart=/bin/sh /usr/local/lib/colinux/mount-shares.sh

            [Install]
            WantedBy=multi-user.target

            """);
        tree.AddText("usr/local/lib/colinux/agent.sh", InitLayer.Script("agent.sh"), Executable);
        tree.AddText(
            "etc/systemd/system/colinux-agent.service",
            """
            [Unit]
            Description=Run commands of the host
            ConditionPathExists=/dev/hvc1

            [Service]
            ExecStart=/bin/sh /usr/local/lib/colinux/agent.sh
            Environment=HOME=/root USER=root LOGNAME=root SHELL=/bin/bash
            WorkingDirectory=/root
            TasksMax=infinity

            [Install]
            WantedBy=multi-user.target

            """);
        AddSources(tree, sources);
        return tree;
    }

    private static void AddConsole(FileTree tree)
    {
        // Whoever has the console has the machine: its process is theirs. Everywhere else root has no password and gets in by none.
        tree.AddText(
            "etc/systemd/system/serial-getty@hvc0.service.d/colinux.conf",
            """
            [Service]
            ExecStart=
            ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200,57600,38400,9600 - $TERM

            """);

        // A serial line tells neither the terminal's type nor its size: the one is on the kernel's command line, and the
        // terminal is asked for the other.
        tree.AddText(
            "etc/profile.d/colinux.sh",
            """
            if [ "$(tty)" = /dev/hvc0 ]; then
                for word in $(cat /proc/cmdline); do
                    case $word in TERM=*) export "$word" ;; esac
                done
                if [ -n "$BASH_VERSION" ]; then
                    printf '\0337\033[999;999H\033[6n\0338'
                    if IFS='[;' read -t 1 -rsd R _ rows columns; then
                        stty rows "$rows" columns "$columns" 2>/dev/null
                    fi
                    unset rows columns
                fi
                unset word
            fi

            """);
    }

    private static void AddInitramfs(FileTree tree)
    {
        // Drivers of real hardware have nothing to drive here; without them the initramfs is small and made quickly.
        tree.AddText("etc/initramfs-tools/conf.d/colinux", "MODULES=list\nCOMPRESS=zstd\n");
        tree.AddText(
            "etc/initramfs-tools/hooks/colinux",
            """
            #!/bin/sh
            [ "$1" != prereqs ] || exit 0
            . /usr/share/initramfs-tools/hook-functions
            force_load xen-blkfront
            manual_add_modules ext4 crc32c_generic 9p 9pnet_xen overlay

            """,
            Executable);
    }

    private static void AddSources(FileTree tree, IReadOnlyList<AptSource> sources)
    {
        StringBuilder text = new();
        foreach (AptSource source in sources)
        {
            text.Append("Types: deb\n");
            text.Append("URIs: ").AppendJoin(' ', source.Uris).Append('\n');
            text.Append("Suites: ").AppendJoin(' ', source.Suites).Append('\n');
            text.Append("Components: ").AppendJoin(' ', source.Components).Append('\n');
            foreach ((string name, string value) in source.Options)
            {
                text.Append(name).Append(": ").Append(value).Append('\n');
            }

            text.Append('\n');

            // Keys that are in a file of this machine go along, unless Debian's own package brings them.
            if (source.Options.TryGetValue("Signed-By", out string? key) && key.StartsWith('/') && key != DebianKeyring && File.Exists(key))
            {
                tree.Add(key, new FileNode { Kind = FileKind.Regular, Permissions = 0b110_100_100, Content = File.ReadAllBytes(key) });
            }
        }

        tree.AddText("etc/apt/sources.list.d/debian.sources", text.ToString());
    }
}
