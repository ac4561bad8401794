namespace CooperativeLinux.Cli.Tests;

/// <summary>Values that an option or argument must refuse.</summary>
/// <param name="Key">The command, and the option or the argument.</param>
/// <param name="Line">A command line, in which <c>{}</c> stands for the value.</param>
/// <param name="Wrong">Values that are wrong by themselves.</param>
/// <param name="Unusable">Values that are right, but cannot be used on this host, with the exit code.</param>
/// <remarks>Names in braces are files: see <see cref="CommandLineFiles"/>.</remarks>
internal sealed record BadValues(string Key, string Line, string[] Wrong, (ExitCode Code, string[] Values)[] Unusable)
{
    private static readonly string[] _sizes = ["0", "-1", "1.5G", "17T", "99999999999999999999", "1000K", "large"];
    private static readonly string[] _seconds = ["-1", "NaN", "Infinity", "1e3", "86401", "99999999999999999999", "soon", "1,5"];
    private static readonly string[] _mirrors = ["foo", "/etc", "http:", "gopher://x/debian"];
    private static readonly string[] _noDisks = ["{missing}", "{folder}", "{empty}", "{pipe}", "/dev/null", "{unreadable}"];
    private static readonly string[] _machines = ["nobody", "../deb", "a b", "@deb"];

    private static readonly string[] _memory =
        ["0", "-5", "1K", "1.5G", "65G", "99999999999999999999", "lots", "1G..", "..1G", "2G..1G", "64M..1G", "1G..2G..3G"];

    private static readonly string[] _disks =
        [",ro", "{disk},rw", "{disk},RO", "{disk},", "{disk},overlay=", "{disk},name=", "{disk},name=sda", "{disk},name=xvda1"];

    private static readonly string[] _shares =
        ["{missing}", "{text}", "{folder},rx", "{folder},owner=", "{folder},owner=me", "{folder}:", "{folder}:a b", "{folder}:..", ",ro"];

    private static readonly string[] _networks =
    [
        "bridge", "tap", "tap:", "tap:name-that-is-too-long", "tap:a/b", "user,mac=", "user,mac=1", "user,mac=01:00:5e:00:00:01", "user,dns=", "user,dns=name",
        "user,dns=9.9.9.9:70000", "user,mtu=9000", "none,mac=00:16:3e:01:02:03", "user,mac=00:16:3e:01:02:03,mac=00:16:3e:01:02:04",
    ];

    private static readonly string[] _forwards =
        ["2222:22", "tcp:22", "sctp:1:2", "tcp:0:22", "tcp:-1:22", "tcp:70000:22", "tcp:22:65536", "tcp:localhost:2222:22", "tcp:", "udp:a:b"];

    /// <summary>All of them.</summary>
    public static IReadOnlyList<BadValues> All { get; } =
    [
        .. OfMachine("run", "run --kernel {text}"),
        new("run NAME", "run {}", ["@deb"], [(ExitCode.Failed, ["nobody", "../deb", "a b"])]),
        new("run --kernel", "run --kernel {}", ["disk"], [(ExitCode.BadImage, ["{missing}", "{folder}", "{empty}", "{text}", "{pipe}", "{unreadable}", "/dev/null", "6.1-foo"])]),
        new("run --initrd", "run --kernel {text} --initrd {}", [], [(ExitCode.BadImage, ["{missing}", "{folder}", "{empty}", "{text}", "{pipe}", "{unreadable}"])]),
        new("run --log", "run --kernel {text} --log {}", [], [(ExitCode.Failed, ["{folder}", "{missing}/log", "/dev/full/log"])]),

        // What only the machine finds out is found by a process of its own, which is another's test.
        .. OfMachine("start", "start deb").Select(values => values with { Unusable = [] }),
        new("start NAME", "start {}", ["@deb"], [(ExitCode.Failed, ["nobody", "../deb", "a b"])]),
        new("start --kernel", "start deb --kernel {}", [], []),
        new("start --initrd", "start deb --initrd {}", [], []),

        new("stop NAME", "stop {}", [], [(ExitCode.Failed, [.. _machines, "deb"])]),
        new("stop --timeout", "stop deb --timeout {}", _seconds, []),
        new("attach NAME", "attach {}", [], [(ExitCode.Failed, [.. _machines, "deb"])]),
        new("exec NAME", "exec {} true", [], [(ExitCode.Failed, [.. _machines, "deb"])]),
        new("exec COMMAND", "exec deb {}", [], [(ExitCode.Failed, ["true"])]),
        new("logs NAME", "logs {}", [], [(ExitCode.Failed, [.. _machines, "deb"])]),
        new("rm NAME", "rm deb {}", [], [(ExitCode.Failed, _machines)]),

        new("create NAME", "create {}", ["a/b", "..", "a b", "-x", "@x", "ä", new string('a', 65)], [(ExitCode.Failed, ["deb"])]),
        new("create --release", "create new --release {}", ["woody", "Bookworm", "12", "bookworm trixie"], []),
        new("create --packages", "create new --packages {}", ["No!", "git,No!", "../x"], []),
        new("create --size", "create new --size {}", [.. _sizes, "1G"], []),
        new("create --mirror", "create new --mirror {}", _mirrors, []),

        new("fetch KERNEL", "fetch {}", ["7", "bogus", "6.1-foo", "-1"], []),
        new("fetch --mirror", "fetch --mirror {}", _mirrors, []),
        new("image PACKAGE", "image {}", ["Foo", "a b", "x", "-x", "../x"], []),
        new("image --mirror", "image bash --mirror {}", _mirrors, []),

        new("disk create FILE", "disk create {} --size 1G", [], [(ExitCode.Failed, ["{disk}", "{folder}", "{pipe}", "{missing}/x"])]),
        new("disk create --size", "disk create {missing} --size {}", _sizes, []),
        new("disk create --base", "disk create {missing} --base {}", [], [(ExitCode.Failed, _noDisks)]),
        new("disk info FILE", "disk info {}", [], [(ExitCode.Failed, ["{missing}", "{folder}", "{pipe}", "/dev/null", "{unreadable}"])]),
        new("disk commit OVERLAY", "disk commit {}", [], [(ExitCode.Failed, [.. _noDisks, "{disk}", "{text}"])]),
        new("disk commit --base", "disk commit {overlay} --base {}", [], [(ExitCode.Failed, [.. _noDisks, "{other}", "{overlay}"])]),
        new("disk resize FILE", "disk resize {} 1G", [], [(ExitCode.Failed, ["{missing}", "{folder}", "{pipe}", "/dev/null", "{unreadable}"])]),
        new("disk resize SIZE", "disk resize {disk} {}", _sizes, []),
        new("disk rebase OVERLAY", "disk rebase {} {disk}", [], [(ExitCode.Failed, [.. _noDisks, "{disk}", "{text}"])]),
        new("disk rebase BASE", "disk rebase {overlay} {}", [], [(ExitCode.Failed, [.. _noDisks, "{other}", "{overlay}"])]),

        new("service install NAME", "service install {}", [], [(ExitCode.Failed, _machines)]),
        new("service remove NAME", "service remove {}", [], [(ExitCode.Failed, _machines)]),
    ];

    /// <summary>Whether it is an option's, and not an argument's.</summary>
    public bool IsOption => Name.StartsWith('-');

    /// <summary>The option or the argument.</summary>
    public string Name => Key.Split(' ')[^1];

    private static IEnumerable<BadValues> OfMachine(string command, string line) =>
    [
        new($"{command} --append", $"{line} --append {{}}", ["two\nlines", new string('x', 5000)], []),
        new($"{command} --memory", $"{line} --memory {{}}", _memory, []),
        new(
            $"{command} --disk",
            $"{line} --disk {{}}",
            _disks,
            [(ExitCode.Failed, [.. _noDisks, "{disk},overlay={folder}", "{disk},overlay={text}", "{disk},overlay={disk}", "{disk},overlay={missing}/x", "{disk},ro,overlay={missing}"])]),
        new($"{command} --share", $"{line} --share {{}}", _shares, []),
        new($"{command} --stop-timeout", $"{line} --stop-timeout {{}}", _seconds, []),
        new($"{command} --trace", $"{line} --trace {{}}", ["everything", "events,,store", "1"], []),
        new($"{command} --mirror", $"{line} --mirror {{}}", _mirrors, []),
        new($"{command} --net", $"{line} --net {{}}", _networks, [(ExitCode.Failed, ["tap:lo"])]),
        new($"{command} --forward", $"{line} --forward {{}}", _forwards, [(ExitCode.Failed, ["tcp:203.0.113.9:2222:22", "tcp:{port}:22"])]),
    ];
}
