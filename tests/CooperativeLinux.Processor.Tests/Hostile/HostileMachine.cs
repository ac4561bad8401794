using System.Diagnostics;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Hostile;

/// <summary>
/// A machine for code that means harm. Virtual 0x400000 to 0x5FFFFF maps the physical range of the same numbers, the
/// kernel half's <see cref="KernelBase"/> too; the rest of RAM is mapped nowhere and filled with a pattern. Special pages: absent, read-only, no-execute,
/// a frame that does not exist, a special frame, and in <see cref="MapsTables"/> mode the page tables themselves.
/// </summary>
internal sealed unsafe class HostileMachine : IVcpuEnvironment, IDisposable
{
    public const ulong Base = 0x400000;
    public const ulong Size = 0x200000;
    public const ulong KernelBase = 0xFFFF_FFFF_8000_0000;
    public const ulong SpecialFrame = 0x10000;
    private const ulong MemorySize = 8 << 20;
    private const ulong Pattern = 0x5A17_C0DE_0000_0000;
    private const int TableFrames = 9;
    private const int CallbackBudget = 200;
    private static readonly TimeSpan HangLimit = TimeSpan.FromSeconds(60);

    // Absent, read-only, no-execute, no frame, special frame.
    private static readonly ulong[] _oddPages = [0x20, 0x41, 0x42, 0x43, 0x44];

    private readonly Timer _watchdog;
    private readonly ulong _handle;
    private readonly ulong _defaultMxcsr;
    private readonly ulong[] _callbacks = new ulong[16];
    private long _started;
    private int _budget;
    private Rng _rng = new(0);

    public HostileMachine(bool mapsTables = false, ProcessorOptions? options = null)
    {
        MapsTables = mapsTables;
        Memory = new GuestMemory(MemorySize);
        Memory.AddSpecialFrame(SpecialFrame);
        Cpu = new Vcpu(Memory, this, options ?? new ProcessorOptions { Verify = true, CodeCacheSize = 4 << 20 });
        for (ulong address = 0x10000; address < MemorySize; address += 8)
        {
            if (address is < Base or >= Base + Size)
            {
                Memory.TryWrite(address, Pattern ^ address);
            }
        }

        EngineState* engine = Engine;
        _handle = (ulong)engine->Handle;
        _defaultMxcsr = engine->DefaultMxcsr;
        for (int i = 0; i < _callbacks.Length; i++)
        {
            _callbacks[i] = engine->Callbacks[i];
        }

        _watchdog = new Timer(_ => Watch(), null, 20, 20);
    }

    public bool MapsTables { get; }

    public GuestMemory Memory { get; }

    public Vcpu Cpu { get; }

    /// <summary>What of a run is printed when it hangs.</summary>
    public string Label { get; set; } = string.Empty;

    /// <summary>Called at every syscall, after the checks; null: the run goes on at a random place.</summary>
    public Action? Syscall { get; set; }

    public List<GuestException> Exceptions { get; } = [];

    /// <summary>Chooses where in the mapped range the guest goes on after an event.</summary>
    public Func<Rng, ulong> ChooseEntry { get; set; } = AnyEntry;

    /// <summary>The first wrong thing seen inside a callback, or null.</summary>
    public string? Wrong { get; private set; }

    private EngineState* Engine => (EngineState*)((byte*)Cpu.State + VcpuState.TotalSize);

    /// <summary>Anywhere in the first four pages.</summary>
    public static ulong AnyEntry(Rng rng) => (ulong)rng.Below(0x4000);

    /// <summary>Just before the end of a page that an absent, read-only, no-execute, nowhere mapped or special one follows, or in it.</summary>
    public static ulong EntryAtPageEnd(Rng rng) => ((rng.Pick<ulong>(_oddPages) + (ulong)rng.Below(2)) * 4096) - (ulong)rng.Below(20);

    /// <summary>An address worth trying, of those that name nothing of the host.</summary>
    public static ulong GuestAddress(Rng rng)
    {
        ulong near = (ulong)(long)rng.Between(-24, 24);
        ulong page = (ulong)rng.Below(512) * 4096;
        return rng.Below(12) switch
        {
            0 => 0x0000_7FFF_FFFF_F000 + near,
            1 => 0x0000_8000_0000_0000 + near,
            2 => 0xFFFF_8000_0000_0000 + near,
            3 => 0x8000_0000_0000_0000 + near,
            4 => near,
            5 => KernelBase + page + near,
            6 => Base + (rng.Pick<ulong>(_oddPages) * 4096) + near,
            7 => Base + Size + near,
            8 => rng.Next(),
            9 => 1UL << rng.Below(64),
            _ => Base + page + (ulong)rng.Below(4096),
        };
    }

    /// <summary>An address taken from the host, or one that a stale or wrong translation would carry into a canary.</summary>
    public ulong HostAddress(Rng rng, Canaries canaries)
    {
        ulong ram = (ulong)Memory.RamBase;
        ulong state = (ulong)Cpu.State;
        byte local = 0;
        ulong near = (ulong)(long)rng.Between(-16, 16);
        return rng.Below(8) switch
        {
            0 => ram + Base + (ulong)rng.Below(4096),
            1 => ram + near,
            2 => state + (ulong)rng.Below(8192),
            3 => state + 0x10000 + (ulong)rng.Below(65536),
            4 => state - (ulong)rng.Below(0x10000),
            5 => (ulong)&local + near,
            6 => canaries.Address(rng),
            _ => canaries.Address(rng) - ram,
        };
    }

    /// <summary>Writes the page tables anew and forgets all cached ones.</summary>
    public void ResetTables()
    {
        for (ulong frame = 1; frame < TableFrames; frame++)
        {
            Memory.Frame(frame).Clear();
        }

        Entry(1, 0, 0x2000 | 7);
        Entry(2, 0, 0x3000 | 7);
        Entry(3, 2, 0x4000 | 7);
        Entry(1, 511, 0x5000 | 7);
        Entry(5, 510, 0x6000 | 7);
        Entry(6, 0, 0x7000 | 7);
        for (ulong i = 0; i < 512; i++)
        {
            ulong entry = (Base + (i * 4096)) | 7;
            entry = i switch
            {
                0x20 => 0,
                0x41 => entry & ~2UL,
                0x42 => entry | (1UL << 63),
                0x43 => (0x7FFFFUL << 12) | 7,
                0x44 => (SpecialFrame << 12) | 7,
                _ => entry,
            };
            if (MapsTables && i is >= 0x50 and < 0x58)
            {
                entry = ((i - 0x4F) << 12) | 7;
            }

            Entry(4, i, entry);
            Entry(7, i, entry & ~4UL);
        }

        Cpu.SetRoots(1, 1);
        Cpu.FlushAllTlbs();
    }

    public void Entry(ulong frame, ulong index, ulong value) => Memory.TryWrite((frame << 12) + (index * 8), value);

    /// <summary>Runs from the state that is set, until something stops it: the budget of callbacks or the clock.</summary>
    public void Run(Rng rng, int budget = CallbackBudget)
    {
        _rng = rng;
        _budget = budget;
        Exceptions.Clear();
        Volatile.Write(ref _started, Stopwatch.GetTimestamp());
        try
        {
            Cpu.Run();
        }
        finally
        {
            Volatile.Write(ref _started, 0);
        }
    }

    /// <summary>Runs a program from a fresh state to its syscall.</summary>
    public void RunClean(Action<Assembler> program, bool user, int budget = CallbackBudget)
    {
        Assembler assembler = new(64);
        program(assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), Base);
        ResetTables();
        Memory.TryWrite(Base, stream.ToArray());
        VcpuState* state = Cpu.State;
        state->Rip = Base;
        state->Rsp = Base + 0x20000;
        state->Rflags = 0;
        state->Mxcsr = 0x1F80;
        state->FsBase = 0;
        state->GsBase = 0;
        state->UserMode = user ? 1u : 0u;
        Syscall ??= Cpu.RequestStop;
        Run(new Rng(1), budget);
        Syscall = null;
    }

    /// <summary>Whether the unmapped part of RAM and the engine's constants are as they were.</summary>
    public string? FindDamage()
    {
        if (!MapsTables)
        {
            for (ulong address = 0x10000; address < MemorySize; address += 8)
            {
                if (address is < Base or >= Base + Size && *(ulong*)(Memory.RamBase + address) != (Pattern ^ address))
                {
                    return $"unmapped RAM changed at 0x{address:x}";
                }
            }
        }

        EngineState* engine = Engine;
        bool isIntact = (ulong)engine->Handle == _handle && engine->DefaultMxcsr == _defaultMxcsr;
        for (int i = 0; i < _callbacks.Length; i++)
        {
            isIntact &= engine->Callbacks[i] == _callbacks[i];
        }

        return isIntact ? Wrong : "the engine's constants changed";
    }

    /// <summary>The place of a host address that the guest can see, or null.</summary>
    public string? FindLeak(HostRanges ranges)
    {
        for (int i = 0; i < 16; i++)
        {
            if (ranges.Contains(Cpu.State->Registers[i]))
            {
                return $"register {i} holds 0x{Cpu.State->Registers[i]:x}";
            }
        }

        if (ranges.Contains(Cpu.State->Rip))
        {
            return $"rip is 0x{Cpu.State->Rip:x}";
        }

        for (ulong* word = (ulong*)Cpu.State->Vectors, end = word + 64; word < end; word++)
        {
            if (ranges.Contains(*word))
            {
                return $"a vector register holds 0x{*word:x}";
            }
        }

        for (ulong address = 0; address < Size; address += 4)
        {
            ulong value = *(ulong*)(Memory.RamBase + Base + Math.Min(address, Size - 8));
            if (ranges.Contains(value))
            {
                return $"memory at 0x{Base + address:x} holds 0x{value:x}";
            }
        }

        return null;
    }

    public void OnSyscall(Vcpu cpu)
    {
        CheckHostArithmetic();
        if (Syscall != null)
        {
            Syscall();
            return;
        }

        GoElsewhere();
    }

    public void OnException(Vcpu cpu, in GuestException exception)
    {
        CheckHostArithmetic();
        Exceptions.Add(exception);
        GoElsewhere();
    }

    public void OnInstruction(Vcpu cpu, in Instruction instruction)
    {
        CheckHostArithmetic();
        cpu.State->Rip += (ulong)instruction.Length;
        Spend();
    }

    public void OnPoll(Vcpu cpu) => CheckHostArithmetic();

    public byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write) => null;

    public bool IsReserved(ulong address) => false;

    public void Dispose()
    {
        _watchdog.Dispose();
        Cpu.Dispose();
        Memory.Dispose();
    }

    private void Spend()
    {
        if (--_budget <= 0)
        {
            Cpu.RequestStop();
        }
    }

    private void GoElsewhere()
    {
        Spend();
        VcpuState* state = Cpu.State;
        ulong code = state->UserMode == 0 && _rng.Chance(2) ? KernelBase : Base;
        state->Rip = code + ChooseEntry(_rng);
        state->Registers[_rng.Below(16)] = GuestAddress(_rng);
        if (_rng.Chance(2))
        {
            state->Rsp = Base + 0x10000 + (ulong)_rng.Below(0x10000);
        }
    }

    // Managed code computes as it should: rounding to nearest, no flushing of denormals, exceptions masked.
    private void CheckHostArithmetic()
    {
        double one = Stopwatch.Frequency / (double)Stopwatch.Frequency;
        double third = one / 3;
        double tiny = one * double.Epsilon * 4;
        double invalid = (one - one) / (one - one);
        if (BitConverter.DoubleToUInt64Bits(third) != 0x3FD5_5555_5555_5555 || tiny / 2 == 0 || !double.IsNaN(invalid))
        {
            Wrong ??= "the guest's floating-point mode reached managed code";
        }
    }

    private void Watch()
    {
        const int RunLimitMs = 40;
        long started = Volatile.Read(ref _started);
        if (started == 0)
        {
            return;
        }

        TimeSpan run = Stopwatch.GetElapsedTime(started);
        if (run > HangLimit)
        {
            Environment.FailFast($"The vCPU does not stop: {Label}.");
        }

        if (run.TotalMilliseconds > RunLimitMs && Syscall == null)
        {
            Cpu.RequestStop();
        }
    }
}
