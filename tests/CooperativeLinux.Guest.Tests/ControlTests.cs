using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>What the owner does to a running guest.</summary>
public sealed partial class ControlTests
{
    [Fact]
    public void Menu_OfTheConsole_RestartsSetsMemoryAndShutsDown()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "terminals of Linux");
        using Terminal terminal = new();
        using Colinux colinux = Colinux.StartOn(terminal, "run", "-k", "6.1-cloud", "-m", "256M");
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        terminal.Type("\x1dxh"u8);
        (position, _) = colinux.WaitFor("sysrq: HELP", position);
        terminal.Type("\x1dr"u8);
        (position, _) = colinux.WaitFor("reboot: Restarting system", position);
        (position, _) = colinux.WaitFor(Colinux.Prompt, position);
        terminal.Type("\x1dm1T\r"u8);
        (position, _) = colinux.WaitFor("the most is", position);
        terminal.Type("\x1dm160M\r"u8);
        (position, _) = colinux.WaitFor("may use 160M", position);

        // What the kernel keeps for itself does not count as its total.
        terminal.Type("while [ $(sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) -gt 163840 ]; do sleep 0.1; done; echo smal\"l\"er\r"u8);
        (position, _) = colinux.WaitFor("smaller", position);
        terminal.Type("\x1ds"u8);
        colinux.WaitFor("reboot: System halted", position);

        Assert.Equal(0, colinux.WaitForExit());
    }

    [Fact]
    public void Memory_ElasticAndFree_GoesBackToTheHost()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc");
        const long Written = 300 << 10;
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "128M..768M");
        (int position, _) = colinux.WaitFor(Colinux.Prompt);
        long before = Resident(colinux.Id);

        colinux.Type("dd if=/dev/zero of=/tmp/file bs=1M count=300 2>/dev/null && echo ful\"l\"\n");
        (position, _) = colinux.WaitFor("full\n", position);
        long full = Resident(colinux.Id);
        colinux.Type("rm /tmp/file\n");
        DateTime end = DateTime.UtcNow + Colinux.Patience;
        while (Resident(colinux.Id) > full - (Written / 2) && DateTime.UtcNow < end)
        {
            Thread.Sleep(200);
        }

        Assert.InRange(full - before, Written * 9 / 10, long.MaxValue);
        Assert.InRange(full - Resident(colinux.Id), Written / 2, long.MaxValue);

        // The guest has all its memory again, and what it reads there is right.
        colinux.Type("until [ $(awk '/MemTotal/{print $2}' /proc/meminfo) -gt 614400 ]; do sleep 0.2; done; cd /tmp; for i in 1 2; do dd if=/dev/urandom of=f$i bs=1M count=100 2>/dev/null; done; cat f1 f2 | md5sum > sums; cat f1 f2 | md5sum -c sums; cat /proc/meminfo\n");
        (position, _) = colinux.WaitFor("-: OK\n", position);
        (position, _) = colinux.WaitFor("MemTotal: ", position);
        Assert.InRange(long.Parse(colinux.Output[position..].TrimStart().Split(' ')[0], CultureInfo.InvariantCulture), 600 << 10, 768 << 10);
    }

    [Fact]
    public async Task Clock_HostSlept_IsSet()
    {
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(KernelFlavour.Cloud61, cancellationToken: TestContext.Current.CancellationToken);
        IReadOnlyList<string> initrds = await new DefaultGuest(cache).GetInitrdsAsync(kernel, cancellationToken: TestContext.Current.CancellationToken);
        JumpingClock clock = new();
        using CancellationTokenSource end = new(Colinux.Patience);
        using DateReader reader = new(clock, end.Cancel);

        await Assert.ThrowsAsync<OperationCanceledException>(() => Machine.RunAsync(
            new MachineOptions
            {
                KernelPath = kernel.VmlinuzPath,
                InitrdPaths = initrds,
                CommandLine = "console=hvc0 quiet colinux.net=none colinux.script=\"while :; do echo now $(date +%s); sleep 0.5; done\"",
                MemoryBytes = 256 << 20,
                Output = reader,
                WallClock = clock,
                StopTimeout = TimeSpan.Zero,
            },
            end.Token));

        Assert.InRange(reader.First, DateTimeOffset.UtcNow.ToUnixTimeSeconds() - (long)Colinux.Patience.TotalSeconds, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        Assert.True(reader.HasJumped, $"the guest's clock went from {reader.First} to {reader.Last}");
    }

    private static long Resident(int process)
    {
        string line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2].Trim(), CultureInfo.InvariantCulture);
    }

    /// <summary>The host's clock, which can be set forward.</summary>
    private sealed class JumpingClock : TimeProvider
    {
        public static readonly TimeSpan Jump = TimeSpan.FromHours(3);

        private volatile bool _hasJumped;

        public void SetForward() => _hasJumped = true;

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + (_hasJumped ? Jump : TimeSpan.Zero);
    }

    /// <summary>Reads the dates the guest prints: lets the clock jump after some, and ends when the guest follows.</summary>
    private sealed partial class DateReader(JumpingClock clock, Action end) : MemoryStream
    {
        private readonly StringBuilder _text = new();
        private int _count;

        public long First { get; private set; }

        public long Last { get; private set; }

        public bool HasJumped { get; private set; }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            _text.Append(Encoding.Latin1.GetString(buffer));
            MatchCollection dates = Date().Matches(_text.ToString());
            if (dates.Count <= _count)
            {
                return;
            }

            _count = dates.Count;
            Last = long.Parse(dates[^1].Groups[1].Value, CultureInfo.InvariantCulture);
            First = First == 0 ? Last : First;
            if (_count == 6)
            {
                clock.SetForward();
            }

            if (!HasJumped && Last - First >= (long)JumpingClock.Jump.TotalSeconds)
            {
                HasJumped = true;
                _ = Task.Run(end);
            }
        }

        [GeneratedRegex(@"now (\d+)\r?\n")]
        private static partial Regex Date();
    }
}
