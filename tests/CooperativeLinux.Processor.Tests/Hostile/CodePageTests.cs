using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Hostile;

/// <summary>Fetches from more pages than any table of the processor should hold.</summary>
public sealed unsafe class CodePageTests
{
    private const int Pages = 150_000;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Fetch_FromEndlessAliases_IsForgottenInTime(bool user)
    {
        using Machine machine = new(user);

        machine.Cpu.Run();

        Assert.Equal(Pages, machine.Faults);
        Assert.InRange(machine.Cpu.Statistics.CacheFlushes, 1, 10);
    }

    /// <summary>Tables that contain themselves map every second page to the same code, which ends in the absent page behind it.</summary>
    private sealed class Machine : IVcpuEnvironment, IDisposable
    {
        private readonly ulong _start;

        public Machine(bool user)
        {
            _start = user ? 0x1000 : 0xFFFF_8000_0000_1000;
            Memory = new GuestMemory(1 << 20);
            Cpu = new Vcpu(Memory, this, new ProcessorOptions { Verify = true, CodeCacheSize = 4 << 20 });
            for (ulong i = 0; i < 512; i++)
            {
                Memory.TryWrite(0x1000 + (i * 8), 0x2000UL | 7);
                Memory.TryWrite(0x2000 + (i * 8), 0x3000UL | 7);
                Memory.TryWrite(0x3000 + (i * 8), 0x4000UL | 7);
                Memory.TryWrite(0x4000 + (i * 8), i % 2 == 0 ? 0 : 0x5000UL | 7);
            }

            // The first byte of an instruction that has two.
            Memory.TryWrite(0x5FFF, (byte)0xCD);
            Cpu.SetRoots(1, 1);
            Cpu.State->UserMode = user ? 1u : 0u;
            Cpu.State->Rip = _start + 0xFFF;
        }

        public GuestMemory Memory { get; }

        public Vcpu Cpu { get; }

        public int Faults { get; private set; }

        public void OnException(Vcpu cpu, in GuestException exception)
        {
            Assert.Equal(GuestException.PageFault, exception.Vector);
            Faults++;
            cpu.State->Rip += 0x2000;
            if (Faults == Pages)
            {
                cpu.RequestStop();
            }
        }

        public void OnInstruction(Vcpu cpu, in Instruction instruction) => cpu.RequestStop();

        public void OnSyscall(Vcpu cpu) => cpu.RequestStop();

        public void OnPoll(Vcpu cpu)
        {
        }

        public byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write) => null;

        public bool IsReserved(ulong address) => false;

        public void Dispose()
        {
            Cpu.Dispose();
            Memory.Dispose();
        }
    }
}
