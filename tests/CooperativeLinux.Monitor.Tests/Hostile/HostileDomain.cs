using System.Diagnostics;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Store;
using CooperativeLinux.Monitor.Time;
using CooperativeLinux.Processor.Execution;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Hostile;

/// <summary>
/// A domain made by hand, whose kernel is one loop that makes the hypercalls of a list. Frames: 1 to 4 page tables, 5 start_info, 6 xenstore
/// ring, 7 code, 8 to 15 stack, 16 to 63 data for arguments, 64 on the list. Virtual 0 to 2 MiB maps frames 0 to 511.
/// </summary>
internal sealed class HostileDomain : IDisposable
{
    public const ulong Data = 16 << 12;
    public const int DataSize = 48 << 12;
    public const ulong Code = 7 << 12;
    public const int MaxCalls = 512;
    public const ulong StackTop = 16 << 12;
    private const ulong List = 64 << 12;
    private const ulong Prologue = Code + 0x800;
    private const ulong StoreFrame = 6;
    private const ulong MemorySize = 4 << 20;

    private readonly XenStore _store = new();
    private readonly StoreRing _ring;

    public HostileDomain(int vcpus = 1)
    {
        Domain = new PvDomain(new PvDomainOptions
        {
            MemorySize = MemorySize,
            VcpuCount = vcpus,
            Counter = new StopwatchCounter(),
            EmergencyConsole = static _ => { },
            Processor = new ProcessorOptions { Verify = true, CodeCacheSize = 1 << 20 },
        });
        Entry(1, 0, (2 << 12) | 7);
        Entry(2, 0, (3 << 12) | 7);
        Entry(3, 0, (4 << 12) | 7);
        for (ulong frame = 0; frame < 512; frame++)
        {
            Entry(4, frame, (frame << 12) | 7);
        }

        // next: mov rax,[r15] … mov r9,[r15+48]; syscall; add r15,56; dec r14; jnz next; shutdown: mov eax,29; mov edi,2; mov rsi,rbp; syscall; jmp next
        Domain.Memory.TryWrite(
            Code,
            [
                0x49, 0x8B, 0x07, 0x49, 0x8B, 0x7F, 0x08, 0x49, 0x8B, 0x77, 0x10, 0x49, 0x8B, 0x57, 0x18, 0x4D, 0x8B, 0x57, 0x20, 0x4D, 0x8B, 0x47, 0x28,
                0x4D, 0x8B, 0x4F, 0x30, 0x0F, 0x05, 0x49, 0x83, 0xC7, 0x38, 0x49, 0xFF, 0xCE, 0x75, 0xDA,
                0xB8, 0x1D, 0x00, 0x00, 0x00, 0xBF, 0x02, 0x00, 0x00, 0x00, 0x48, 0x89, 0xEE, 0x0F, 0x05, 0xEB, 0xEF,
            ]);
        _ring = new StoreRing(_store, Domain.Memory, StoreFrame, Domain.Events);
        FrameRange none = new(0, 0);
        Domain.Load(
            new DomainLayout
            {
                PageCount = MemorySize >> 12,
                EntryPoint = Prologue,
                StackPointer = StackTop,
                StartInfoAddress = 5 << 12,
                VirtualBase = 0,
                MappedFrames = 512,
                TopTableFrame = 1,
                PageTableBase = 1 << 12,
                PageTableCount = 4,
                PageTables = [new(1, 4), new(2, 3), new(3, 2), new(4, 1)],
                Kernel = new FrameRange(7, 1),
                StartInfoFrame = 5,
                StoreRingFrame = StoreFrame,
                ConsoleRingFrame = StoreFrame,
                SharedInfoFrame = SpecialFrames.SharedInfo,
                BootStackFrame = 15,
                InitialRamDisk = none,
                InitialRamDiskLength = 0,
                P2M = none,
                P2MAddress = 0,
                FirstP2MFrame = 0,
                P2MFrameCount = 0,
                HypercallPageFrame = null,
                UsedFrames = 512,
            },
            _ring.Port,
            0);
    }

    public PvDomain Domain { get; }

    public void Entry(ulong table, ulong index, ulong value) => Domain.Memory.TryWrite((table << 12) + (index * 8), value);

    /// <summary>Sets one call of the list: rax, rdi, rsi, rdx, r10, r8, r9.</summary>
    public void SetCall(int index, ReadOnlySpan<ulong> registers)
    {
        for (int i = 0; i < registers.Length; i++)
        {
            Domain.Memory.TryWrite(List + (ulong)((index * 56) + (i * 8)), registers[i]);
        }
    }

    /// <summary>Runs the list on a thread of its own; stops the domain after a time.</summary>
    /// <param name="count">Calls in the list.</param>
    /// <param name="limit">When to stop what still runs.</param>
    /// <param name="meanwhile">Called again and again while it runs.</param>
    /// <param name="describe">What to print when the domain cannot be stopped.</param>
    public DomainOutcome Run(int count, TimeSpan limit, Action? meanwhile, string describe)
    {
        const int PatienceSeconds = 60;
        Start(count);
        DomainOutcome? outcome = null;
        Exception? failure = null;
        Thread thread = new(
            () =>
            {
                try
                {
                    outcome = Domain.Run();
                }
                catch (Exception exception)
                {
                    failure = exception;
                }
            },
            16 << 20);
        thread.Start();
        long started = Stopwatch.GetTimestamp();
        while (!thread.Join(1) && Stopwatch.GetElapsedTime(started) < limit)
        {
            meanwhile?.Invoke();
        }

        Domain.Stop("time is over");
        if (!thread.Join(TimeSpan.FromSeconds(PatienceSeconds)))
        {
            Environment.FailFast($"The domain does not stop: {describe}.");
        }

        Assert.True(failure is null, $"{describe}: {failure}");
        return outcome!;
    }

    public void Dispose()
    {
        _ring.Dispose();
        Domain.Dispose();
    }

    // Sets what the loop needs: r15 the list, r14 the count, rbp a pointer to the shutdown reason.
    private void Start(int count)
    {
        byte[] code =
        [
            0x41, 0xBF, 0, 0, 0, 0, 0x41, 0xBE, 0, 0, 0, 0, 0xBD, 0, 0, 0, 0, 0xE9, 0, 0, 0, 0,
        ];
        BitConverter.TryWriteBytes(code.AsSpan(2), (uint)List);
        BitConverter.TryWriteBytes(code.AsSpan(8), count);
        BitConverter.TryWriteBytes(code.AsSpan(13), 5 << 12);
        BitConverter.TryWriteBytes(code.AsSpan(18), (int)(Code - (Prologue + (ulong)code.Length)));
        Domain.Memory.TryWrite(Prologue, code);
    }
}
