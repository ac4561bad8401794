using System.Diagnostics;
using System.Globalization;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Hostile;

/// <summary>Hypercalls with arguments no kernel would pass: the domain ends with an outcome or goes on, and nothing else happens.</summary>
public sealed class HypercallTests(ITestOutputHelper output)
{
    private const ulong Self = 0x7ff0;
    private static readonly TimeSpan RunLimit = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(12);

    public enum Kind
    {
        Wild,
        Structured,
        Multicalls,
        Traps,
        Rings,
    }

    public static TheoryData<Kind> Kinds => [.. Enum.GetValues<Kind>()];

    [Fact]
    public void Run_NoCalls_PowersOff()
    {
        using HostileDomain guest = new();
        guest.SetCall(0, [HypercallNumber.XenVersion, 0, 0, 0, 0, 0, 0]);
        DomainOutcome outcome = guest.Run(1, TimeSpan.FromSeconds(30), null, "one call");
        Assert.Equal(DomainOutcomeKind.PowerOff, outcome.Kind);
        Assert.Contains(("xen_version", 1), guest.Domain.HypercallCounts());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Run_HostileCalls_EndsInOrder(Kind kind)
    {
        const int Rounds = 60;
        double scale = double.TryParse(Environment.GetEnvironmentVariable("COLINUX_TEST_SCALE"), CultureInfo.InvariantCulture, out double given) ? given : 1;
        long started = Stopwatch.GetTimestamp();
        long memory = GC.GetTotalMemory(forceFullCollection: true);
        Dictionary<DomainOutcomeKind, int> outcomes = [];
        int round = 0;
        long calls = 0;
        for (; round < Rounds * scale && Stopwatch.GetElapsedTime(started) < Budget * scale; round++)
        {
            int seed = HashCode(kind, round);
            string place = $"{kind}, round {round}, seed {seed}";
            if (Environment.GetEnvironmentVariable("COLINUX_HOSTILE_TRACE") != null)
            {
                Console.Error.WriteLine(place);
            }

            DomainOutcome outcome = RunOne(kind, new Random(seed), place, out long made);
            calls += made;
            outcomes[outcome.Kind] = outcomes.GetValueOrDefault(outcome.Kind) + 1;
            Assert.False(outcome.Reason.Contains("the processor failed", StringComparison.Ordinal), $"{place}: {outcome.Reason}");
        }

        const long Allowance = 256 << 20;
        long growth = GC.GetTotalMemory(forceFullCollection: true) - memory;
        Assert.True(growth < Allowance, $"{kind}: {growth} bytes of managed memory stay in use.");
        output.WriteLine($"{kind}: {round} rounds, {calls} hypercalls; {string.Join(", ", outcomes)}.");
        Assert.True(calls > round, $"{kind}: {calls} hypercalls in {round} rounds.");
    }

    private static int HashCode(Kind kind, int round) => ((int)kind * 1_000_003) + (round * 7919) + 12345;

    private static DomainOutcome RunOne(Kind kind, Random random, string place, out long calls)
    {
        using HostileDomain guest = new(random.Next(4) == 0 ? 2 : 1);
        FillData(guest, random);
        int count = random.Next(16, HostileDomain.MaxCalls);
        Span<ulong> call = stackalloc ulong[7];
        for (int i = 0; i < count; i++)
        {
            MakeCall(kind, random, call);
            guest.SetCall(i, call);
        }

        Action? meanwhile = kind == Kind.Rings ? () => DisturbRings(guest, random) : null;
        DomainOutcome outcome = guest.Run(count, RunLimit, meanwhile, place);
        calls = guest.Domain.HypercallCounts().Sum(static entry => entry.Count);
        return outcome;
    }

    private static void DisturbRings(HostileDomain guest, Random random)
    {
        Span<byte> ring = guest.Domain.Memory.Frame(6);
        for (int i = 0; i < 64; i++)
        {
            ring[random.Next(8) == 0 ? 2048 + random.Next(32) : random.Next(ring.Length)] = (byte)random.Next();
        }

        guest.Domain.Events.Send(1);
    }

    // Words that serve as any field of any structure: pointers, counts, frames, commands, flags.
    private static void FillData(HostileDomain guest, Random random)
    {
        for (ulong at = 0; at < HostileDomain.DataSize; at += 8)
        {
            ulong word = random.Next(6) switch
            {
                0 => Pointer(random),
                1 => (ulong)random.Next(40),
                2 => (ulong)random.Next(1100),
                3 => Self | ((ulong)random.Next(64) << 32),
                4 => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
                _ => ((ulong)random.Next(0x300) << 32) | (uint)random.Next(64),
            };
            guest.Domain.Memory.TryWrite(HostileDomain.Data + at, word);
        }
    }

    private static ulong Pointer(Random random) => random.Next(16) switch
    {
        0 => 0,
        1 => 0x1F_FFF0 + (ulong)random.Next(32),
        2 => 0x7FFF_FFFF_FFF8 + (ulong)random.Next(16),
        3 => 0xFFFF_8000_0000_0000 + (ulong)random.Next(1 << 20),
        4 => ulong.MaxValue - (ulong)random.Next(16),
        5 => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
        6 => (ulong)random.Next(512) << 12,
        7 => HostileDomain.Data + (ulong)random.Next(HostileDomain.DataSize),
        8 => HostileDomain.Data + ((ulong)random.Next(48) << 12) + 4096 - (ulong)random.Next(24),
        _ => HostileDomain.Data + ((ulong)random.Next(HostileDomain.DataSize / 8) * 8),
    };

    private static ulong Number(Random random) => random.Next(8) switch
    {
        0 => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
        1 => 1UL << random.Next(64),
        2 => (1UL << random.Next(64)) - 1,
        3 => 0,
        4 => ulong.MaxValue - (ulong)random.Next(4),
        5 => (ulong)random.Next(2048),
        _ => (ulong)random.Next(16),
    };

    private static void MakeCall(Kind kind, Random random, Span<ulong> call)
    {
        for (int i = 1; i < call.Length; i++)
        {
            call[i] = random.Next(2) == 0 ? Pointer(random) : Number(random);
        }

        call[0] = kind switch
        {
            Kind.Wild => random.Next(20) == 0 ? Number(random) : (ulong)random.Next(64),
            Kind.Multicalls => random.Next(2) == 0 ? HypercallNumber.Multicall : (ulong)random.Next(48),
            Kind.Traps => Pick(random, HypercallNumber.SetTrapTable, HypercallNumber.SetGdt, HypercallNumber.StackSwitch, HypercallNumber.UpdateDescriptor,
                HypercallNumber.CallbackOp, HypercallNumber.Iret, HypercallNumber.SetSegmentBase, HypercallNumber.MmuExtOp, HypercallNumber.VcpuOp),
            _ => Pick(random, HypercallNumber.MmuUpdate, HypercallNumber.MmuExtOp, HypercallNumber.UpdateVaMapping, HypercallNumber.GrantTableOp,
                HypercallNumber.EventChannelOp, HypercallNumber.MemoryOp, HypercallNumber.VcpuOp, HypercallNumber.XenVersion, HypercallNumber.SetTimerOp,
                HypercallNumber.ConsoleIo, HypercallNumber.SchedOp, HypercallNumber.CallbackOp, HypercallNumber.PhysdevOp),
        };

        // An iret takes the loop off its way more often than not.
        if (call[0] == HypercallNumber.Iret && random.Next(8) != 0)
        {
            call[0] = HypercallNumber.XenVersion;
        }

        if (random.Next(4) == 0)
        {
            return;
        }

        // Give the call the shape its handler looks for.
        switch ((uint)call[0])
        {
            case HypercallNumber.MmuUpdate or HypercallNumber.MmuExtOp:
                call[1] = Pointer(random);
                call[2] = (ulong)random.Next(8);
                call[3] = random.Next(2) == 0 ? 0 : Pointer(random);
                call[4] = Self;
                break;
            case HypercallNumber.Multicall:
                call[1] = Pointer(random);
                call[2] = random.Next(8) == 0 ? Number(random) : (ulong)random.Next(64);
                break;
            case HypercallNumber.UpdateVaMapping:
                call[1] = Pointer(random);
                call[2] = ((ulong)random.Next(1100) << 12) | 7;
                call[3] = random.Next(2) == 0 ? (ulong)random.Next(8) : Pointer(random) | (uint)random.Next(4);
                break;
            case HypercallNumber.GrantTableOp:
                call[1] = Pick(random, 2, 6, 8, 10);
                call[2] = Pointer(random);
                call[3] = (ulong)random.Next(70);
                break;
            case HypercallNumber.SchedOp:
                // Blocking for ever and ending the domain are rare, or nothing else would happen.
                call[1] = random.Next(30) == 0 ? (ulong)random.Next(7) : Pick(random, 0, 4, 5, 6);
                call[2] = Pointer(random);
                break;
            case HypercallNumber.VcpuOp:
                call[1] = Pick(random, 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13);
                call[2] = (ulong)random.Next(3);
                call[3] = Pointer(random);
                break;
            case HypercallNumber.ConsoleIo:
                call[1] = (ulong)random.Next(2);
                call[2] = Number(random);
                call[3] = Pointer(random);
                break;
            case HypercallNumber.SetGdt:
                call[1] = Pointer(random);
                call[2] = (ulong)random.Next(9000);
                break;
            case HypercallNumber.EventChannelOp or HypercallNumber.MemoryOp or HypercallNumber.XenVersion or HypercallNumber.CallbackOp or HypercallNumber.PhysdevOp:
                call[1] = (ulong)random.Next(14);
                call[2] = Pointer(random);
                break;
        }
    }

    private static ulong Pick(Random random, params ReadOnlySpan<ulong> choices) => choices[random.Next(choices.Length)];
}
