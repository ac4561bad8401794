using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Execution;

/// <summary>A machine whose guest maps 2 MiB at address 0x400000 to physical 0x400000, in both modes, and stops at syscall.</summary>
internal sealed unsafe class FlatMachine : IVcpuEnvironment, IDisposable
{
    public const ulong Base = 0x400000;
    public const ulong Code = 0x400000;
    public const ulong Data = 0x410000;
    public const ulong StackTop = 0x420000;

    public FlatMachine(ProcessorOptions? options = null)
    {
        Memory = new GuestMemory(16 << 20);
        Cpu = new Vcpu(Memory, this, options ?? new ProcessorOptions { Verify = true });
        Table(1, 0, 0x2000 | 7);
        Table(2, 0, 0x3000 | 7);
        Table(3, 2, 0x4000 | 7);
        for (ulong i = 0; i < 512; i++)
        {
            Table(4, i, (Base + (i * 4096)) | 7);
        }

        Cpu.SetRoots(1, 1);
        Cpu.State->UserMode = 1;
        Cpu.State->Rip = Code;
        Cpu.State->Rsp = StackTop;
    }

    public GuestMemory Memory { get; }

    public Vcpu Cpu { get; }

    public List<GuestException> Exceptions { get; } = [];

    public int Polls { get; private set; }

    public void Table(ulong frame, ulong index, ulong value) => Memory.TryWrite((frame << 12) + (index * 8), value);

    /// <summary>Assembles, loads at Code, runs until syscall or an exception.</summary>
    public void Run(Action<Assembler> program)
    {
        Assembler assembler = new(64);
        program(assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), Code);
        Memory.TryWrite(Code, stream.ToArray());
        Cpu.Run();
    }

    public void OnSyscall(Vcpu cpu) => cpu.RequestStop();

    public void OnException(Vcpu cpu, in GuestException exception)
    {
        Exceptions.Add(exception);
        cpu.RequestStop();
    }

    public void OnInstruction(Vcpu cpu, in Instruction instruction) => OnException(cpu, new GuestException(GuestException.GeneralProtection));

    public void OnPoll(Vcpu cpu) => Polls++;

    public byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write) => null;

    public bool IsReserved(ulong address) => false;

    public void Dispose()
    {
        Cpu.Dispose();
        Memory.Dispose();
    }
}
