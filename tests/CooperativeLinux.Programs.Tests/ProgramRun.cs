using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Programs.Tests;

/// <summary>All programs of one folder below <c>Guest</c>, run once natively and once in a booted guest.</summary>
public abstract class ProgramRun : IAsyncLifetime
{
    private readonly string _tier;
    private readonly string[] _packages;
    private readonly string _memory;
    private readonly TimeSpan _limit;
    private string? _obstacle;

    private protected ProgramRun(string tier, string[] packages, string memory, TimeSpan limit)
    {
        _tier = tier;
        _packages = packages;
        _memory = memory;
        _limit = limit;
    }

    internal ProgramOutputs Native { get; private set; } = new("");

    internal ProgramOutputs Guest { get; private set; } = new("");

    /// <summary>The programs' names in a folder below <c>Guest</c>.</summary>
    public static IReadOnlyList<string> NamesIn(string tier)
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "Guest", tier);
        return [.. Directory.GetFiles(folder, "*.sh").Select(path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        if (!IsWanted || (_obstacle = NativeRoot.Obstacle()) is not null)
        {
            return;
        }

        GuestCache cache = GuestCache.ForUser();
        AptSourceChoice sources = AptSourceChoice.OfMachine;
        string image = await new RootImageBuilder(cache, sources).GetAsync(new RootImageOptions { Packages = _packages });
        Assert.True(KernelFlavour.TryParse("6.1-cloud", out KernelFlavour flavour));
        Kernel kernel = await new KernelStore(cache, sources).GetAsync(flavour);

        string script = Path.Combine(Path.GetTempPath(), $"colinux-programs-{Guid.NewGuid():N}.cpio");
        try
        {
            // The same start here and there: no environment, and SIGPIPE, which the runtime lets its children ignore, ends programs.
            string command = $"exec env -i --default-signal PATH=/usr/sbin:/usr/bin:/sbin:/bin PROGRAM_SECONDS={(int)(_limit.TotalSeconds / 2)} bash /programs/run-all {_tier}";
            await GuestScript.WriteAsync(script, "mount -t tmpfs -o size=75% tmp /tmp\n" + command, Programs());

            using (NativeRoot root = new(image, script))
            {
                (_, string output) = root.Run(command, _limit);
                Native = new ProgramOutputs(output);
                Keep("native", output);
            }

            string colinux = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "colinux.exe" : "colinux");
            (int status, string console) = HostProcess.Run(
                colinux, ["run", "--verify", "--kernel", kernel.VmlinuzPath, "--initrd", image, "--initrd", script, "--memory", _memory], _limit);
            Keep("guest", console);
            Guest = new ProgramOutputs(console + (status == 0 ? "" : $"\ncolinux ended with status {status}"));
        }
        finally
        {
            File.Delete(script);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }

    private protected virtual bool IsWanted => true;

    /// <summary>Compares one program's two runs.</summary>
    internal void AssertSame(string name)
    {
        Assert.SkipWhen(_obstacle is not null, _obstacle ?? "");
        (string Text, int? Status)? native = Native.Find(name);
        Assert.True(native is not null, $"{name} did not run natively: {Tail(Native.Text)}");
        Assert.True(native.Value.Status == 0, $"{name} failed natively with status {native.Value.Status}: {Tail(native.Value.Text)}");
        (string Text, int? Status)? guest = Guest.Find(name);
        Assert.True(guest is not null, $"{name} did not run in the guest: {Tail(Guest.Text)}");
        Assert.Equal(native.Value.Text, guest.Value.Text);
        Assert.True(guest.Value.Status == 0, $"{name} ended with status {guest.Value.Status} in the guest: {Tail(Guest.Text)}");
    }

    private static string Tail(string text)
    {
        return text.Length <= 3000 ? text : "..." + text[^3000..];
    }

    /// <summary>Leaves the whole output beside the tests, for finding differences.</summary>
    private void Keep(string where, string output)
    {
        File.WriteAllText(Path.Combine(AppContext.BaseDirectory, $"{_tier}-{where}.txt"), output);
    }

    private static FileTree Programs()
    {
        FileTree tree = new();
        string folder = Path.Combine(AppContext.BaseDirectory, "Guest");
        foreach (string path in Directory.GetFiles(folder, "*", SearchOption.AllDirectories))
        {
            string name = Path.GetRelativePath(folder, path).Replace(Path.DirectorySeparatorChar, '/');
            tree.AddText("programs/" + name, File.ReadAllText(path));
        }

        return tree;
    }
}
