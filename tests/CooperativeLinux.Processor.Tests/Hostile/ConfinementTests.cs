using System.Diagnostics;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Hostile;

/// <summary>Guest code that tries everything must stay in guest memory, learn nothing of the host, and leave a working vCPU behind.</summary>
public sealed unsafe class ConfinementTests(ITestOutputHelper output)
{
    private const int Rounds = 12;
    private const int RunsPerRound = 10;
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(7);

    public enum Kind
    {
        RandomBytes,
        RandomInstructions,
        HostAddresses,
        PageTables,
        Careful,
        NoStackWindows,
        ShortBlocks,
        PageEnds,
        SelfModifying,
    }

    public static TheoryData<Kind> Kinds => [.. Enum.GetValues<Kind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Run_HostileCode_StaysConfined(Kind kind)
    {
        using Canaries canaries = new();
        int rounds = TestScale.Count(Rounds);
        long started = Stopwatch.GetTimestamp();
        double scale = (double)rounds / Rounds;
        int done = 0;
        for (; done < rounds && Stopwatch.GetElapsedTime(started) < Budget * scale; done++)
        {
            ulong seed = Rng.Mix(TestScale.Seed, (ulong)kind, (ulong)done);
            RunRound(kind, seed, canaries);
        }

        output.WriteLine($"{kind}: {done} rounds, {TestScale.SeedVariable}={TestScale.Seed:x}.");
    }

    private static void RunRound(Kind kind, ulong seed, Canaries canaries)
    {
        ProcessorOptions options = new()
        {
            Verify = true,
            CodeCacheSize = 1 << 20,
            AlwaysCareful = kind == Kind.Careful,
            NoStackWindows = kind == Kind.NoStackWindows,
            MaxBlockInstructions = kind == Kind.ShortBlocks ? 2 : 64,
        };
        using HostileMachine machine = new(kind == Kind.PageTables, options);
        Rng rng = new(seed);
        for (int run = 0; run < RunsPerRound; run++)
        {
            string label = $"{kind}, round seed 0x{seed:x}, run {run}";
            machine.Label = label;
            if (Environment.GetEnvironmentVariable("COLINUX_HOSTILE_TRACE") != null)
            {
                Console.Error.WriteLine(label);
            }

            machine.ResetTables();
            Prepare(machine, kind, rng, canaries);
            try
            {
                machine.Run(rng);
            }
            catch (InvalidOperationException failure)
            {
                Assert.Fail($"{label}: {failure.InnerException ?? failure}");
            }

            if (kind != Kind.HostAddresses && machine.FindLeak(new HostRanges()) is { } leak)
            {
                Assert.Fail($"{label}: leak: {leak}");
            }
        }

        string place = $"{kind}, round seed 0x{seed:x}";
        Assert.True(canaries.AreIntact(), $"{place}: a canary changed.");
        Assert.True(machine.FindDamage() is null, $"{place}: {machine.FindDamage()}.");
        CheckHealth(machine, place);
    }

    private static void Prepare(HostileMachine machine, Kind kind, Rng rng, Canaries canaries)
    {
        Span<byte> code = new(machine.Memory.RamBase + HostileMachine.Base, 0x4000);
        byte[] bytes = new byte[code.Length];
        if (kind == Kind.RandomBytes)
        {
            for (int i = 0; i < bytes.Length; i++)
            {
                bytes[i] = (byte)rng.Next();
            }
        }
        else
        {
            HostileCode.Fill(bytes, rng);
        }

        machine.Memory.TryWrite(HostileMachine.Base, bytes);
        machine.ChooseEntry = HostileMachine.AnyEntry;
        if (kind == Kind.PageEnds)
        {
            machine.ChooseEntry = HostileMachine.EntryAtPageEnd;
            machine.Memory.TryWrite(HostileMachine.Base + 0x40000, bytes);
            machine.Memory.TryWrite(HostileMachine.Base + 0x44000, bytes.AsSpan(0, 0x2000));
            bytes.AsSpan(0, 0x1000).CopyTo(machine.Memory.Frame(HostileMachine.SpecialFrame));
        }

        // Code that runs from a page into an absent one.
        machine.Memory.TryWrite(HostileMachine.Base + 0x1F800, bytes.AsSpan(0, 0x800));
        for (ulong at = 0x10000; at < 0x20000 - 0x800; at += 8)
        {
            ulong value = kind == Kind.HostAddresses && rng.Chance(3) ? machine.HostAddress(rng, canaries) : HostileMachine.GuestAddress(rng);
            *(ulong*)(machine.Memory.RamBase + HostileMachine.Base + at) = value;
        }

        if (kind == Kind.PageTables)
        {
            for (int count = rng.Below(40); count > 0; count--)
            {
                ulong frame = rng.Chance(4) ? (ulong)rng.Below(2048) : (ulong)rng.Between(1, 8);
                machine.Entry((ulong)rng.Between(1, 8), (ulong)rng.Below(512), TableEntry(rng, frame));
            }

            if (rng.Chance(3))
            {
                machine.Cpu.SetRoots(rng.Chance(3) ? rng.Next() >> 12 : (ulong)rng.Below(2048), (ulong)rng.Between(0, 8));
            }

            machine.Cpu.MarkPageTable((ulong)rng.Between(1, 8), rng.Below(5));
        }

        VcpuState* state = machine.Cpu.State;
        for (int i = 0; i < 16; i++)
        {
            state->Registers[i] = kind == Kind.HostAddresses && rng.Chance(2) ? machine.HostAddress(rng, canaries) : HostileMachine.GuestAddress(rng);
        }

        for (ulong* word = (ulong*)state->Vectors, end = word + 64; word < end; word++)
        {
            *word = HostileMachine.GuestAddress(rng);
        }

        if (kind == Kind.SelfModifying)
        {
            // Most addresses are in the code, in one of its two mappings.
            for (int i = 0; i < 16; i++)
            {
                ulong half = rng.Chance(3) ? HostileMachine.KernelBase : HostileMachine.Base;
                state->Registers[i] = rng.Chance(8) ? state->Registers[i] : half + (ulong)rng.Below(0x4000);
            }
        }

        state->Rip = HostileMachine.Base + (kind == Kind.PageEnds ? machine.ChooseEntry(rng) : (ulong)rng.Below(0x1000));
        state->Rflags = rng.Next();
        state->Mxcsr = (uint)rng.Next() & 0xFFFF;
        state->FsBase = HostileMachine.GuestAddress(rng);
        state->GsBase = kind == Kind.HostAddresses ? machine.HostAddress(rng, canaries) : HostileMachine.GuestAddress(rng);
        state->UserMode = (uint)rng.Below(2);
    }

    private static ulong TableEntry(Rng rng, ulong frame) => rng.Below(8) switch
    {
        0 => rng.Next(),
        1 => (HostileMachine.SpecialFrame << 12) | 7,
        2 => (frame << 12) | 0x87,
        3 => (0xFF_FFFF_FFFFUL << 12) | 7,
        _ => (frame << 12) | 7,
    };

    private static void CheckHealth(HostileMachine machine, string place)
    {
        foreach (bool user in (ReadOnlySpan<bool>)[true, false])
        {
            machine.RunClean(
                a =>
                {
                    Label loop = a.CreateLabel();
                    Label add = a.CreateLabel();
                    a.xor(eax, eax);
                    a.mov(ecx, 1000);
                    a.Label(ref loop);
                    a.push(rcx);
                    a.call(add);
                    a.pop(rcx);
                    a.dec(ecx);
                    a.jnz(loop);
                    a.syscall();
                    a.Label(ref add);
                    a.add(rax, __[rsp + 8]);
                    a.ret();
                },
                user);
            Assert.True(machine.Exceptions.Count == 0, $"{place}: the vCPU raises {string.Join(", ", machine.Exceptions.Take(3))} in a good program.");
            Assert.True(machine.Cpu.State->Rax == 500500, $"{place}: the vCPU computes 0x{machine.Cpu.State->Rax:x}.");
        }
    }
}
