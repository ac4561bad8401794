using System.Globalization;

namespace CooperativeLinux.Bench.Compare;

/// <summary>What a guest is started with.</summary>
/// <param name="Kernel">vmlinuz of the stock Debian kernel; User-mode Linux has its own.</param>
/// <param name="Initrd">The initramfs, archives joined.</param>
/// <param name="Memory">MiB.</param>
internal sealed record GuestStart(string Kernel, string Initrd, int Memory);

/// <summary>A way to run a guest.</summary>
/// <param name="Name">Short name of the command line.</param>
/// <param name="Title">Heading of the table.</param>
/// <param name="Program">Path of the program, or null where it is not installed.</param>
/// <param name="Package">Where to get it, for a message.</param>
/// <param name="VersionArguments">Makes the program print its version on the first line.</param>
/// <param name="Command">Arguments that run a guest with its console on standard input and output.</param>
internal sealed record Peer(
    string Name, string Title, string? Program, string Package, IReadOnlyList<string> VersionArguments, Func<GuestStart, IReadOnlyList<string>> Command)
{
    public static IReadOnlyList<string> Names { get; } = ["colinux", "windows", "qemu", "uml"];

    public static IReadOnlyList<Peer> All(CompareOptions options) =>
    [
        new("colinux", "colinux", File.Exists(options.Colinux) ? options.Colinux : null, "the solution is not built", [], start =>
        [
            "run", "--kernel", start.Kernel, "--initrd", start.Initrd, "--memory", Text(start.Memory) + "M",
        ]),

        // The Windows build under Wine, its files by Wine's names for them. Wine's folder and what the runtime needs there: tests/windows.
        .. options.Windows.Length == 0 ? Enumerable.Empty<Peer>() :
        [
            new("windows", "colinux, Wine", File.Exists(options.Windows) ? options.WindowsRunner : null, "the Windows build is not there", [], start =>
            [
                "exec", options.Windows, "run", "--kernel", "Z:" + start.Kernel, "--initrd", "Z:" + start.Initrd, "--memory", Text(start.Memory) + "M",
            ]),
        ],

        // By default all that TCG can do, AVX2 among it. Never with hardware help: that is another kind of machine.
        new("qemu", "QEMU TCG", Find("qemu-system-x86_64"), "Debian: qemu-system-x86", ["--version"], start =>
        [
            "-accel", "tcg", "-cpu", options.QemuCpu, "-M", "pc", "-m", Text(start.Memory), "-nodefaults", "-no-user-config", "-display", "none",
            "-serial", "stdio", "-no-reboot", "-kernel", start.Kernel, "-initrd", start.Initrd, "-append", "console=ttyS0 quiet",
        ]),

        // The empty root= keeps it from naming a disk of its own.
        new("uml", "UML", Find("linux.uml") ?? Find("linux"), "Debian: user-mode-linux", ["--version"], start =>
        [
            $"mem={start.Memory}M", $"initrd={start.Initrd}", "root=", "con=null", "con0=fd:0,fd:1", "ssl=null", "quiet",
        ]),
    ];

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>Where a program is, or null.</summary>
    public static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
}
