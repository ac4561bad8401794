using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Tests.Machine;

/// <summary>
/// A guest kernel of a few instructions: 2 MiB of RAM mapped at 0xffffffff80000000 and, for user code, at 0; code at 0x10000, data at 0x20000,
/// stack below 0x40000, kernel tables at frames 0x80 to 0x83, user tables at 0x84 to 0x87.
/// </summary>
internal static class GuestProgram
{
    public const ulong Base = 0xffff_ffff_8000_0000, Code = Base + 0x1_0000, Data = Base + 0x2_0000, StackTop = Base + 0x4_0000;

    public const ulong MemorySize = 2 << 20, KernelRoot = 0x80, UserRoot = 0x84, UserCode = 0x3_0000;

    /// <summary>Puts the program into memory and makes the domain ready to run it.</summary>
    public static void Load(PvDomain domain, Action<Assembler> write)
    {
        Map(domain.Memory, KernelRoot, Base, 3);
        Map(domain.Memory, UserRoot, 0, 7);
        domain.Memory.TryWrite(Code - Base, Assemble(write, Code));
        domain.Load(Layout(), 1, 2);
    }

    public static byte[] Assemble(Action<Assembler> write, ulong address)
    {
        Assembler assembler = new(64);
        write(assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        return stream.ToArray();
    }

    /// <summary>Emits a hypercall; arguments in rdi, rsi, rdx.</summary>
    public static void Hypercall(Assembler a, uint number, ulong first = 0, ulong second = 0, ulong third = 0)
    {
        a.mov(AssemblerRegisters.rdi, first);
        a.mov(AssemblerRegisters.rsi, second);
        a.mov(AssemblerRegisters.rdx, third);
        a.mov(AssemblerRegisters.eax, number);
        a.syscall();
    }

    private static void Map(GuestMemory memory, ulong root, ulong address, ulong flags)
    {
        for (int level = 0; level < 3; level++)
        {
            ulong index = (address >> (39 - (level * 9))) & 0x1ff;
            memory.TryWrite(((root + (ulong)level) << 12) + (index * 8), ((root + (ulong)level + 1) << 12) | 0x67);
        }

        for (ulong page = 0; page < 512; page++)
        {
            memory.TryWrite(((root + 3) << 12) + (page * 8), (page << 12) | 0x60 | flags);
        }
    }

    private static DomainLayout Layout() => new()
    {
        PageCount = MemorySize / GuestMemory.PageSize,
        EntryPoint = Code,
        StackPointer = StackTop,
        StartInfoAddress = Base + 0x5_0000,
        VirtualBase = Base,
        MappedFrames = 512,
        TopTableFrame = KernelRoot,
        PageTableBase = Base + (KernelRoot << 12),
        PageTableCount = 4,
        PageTables = [new(KernelRoot, 4), new(KernelRoot + 1, 3), new(KernelRoot + 2, 2), new(KernelRoot + 3, 1)],
        Kernel = new FrameRange(0x10, 1),
        StartInfoFrame = 0x50,
        StoreRingFrame = 0x51,
        ConsoleRingFrame = 0x52,
        SharedInfoFrame = SpecialFrames.SharedInfo,
        BootStackFrame = 0x3f,
        InitialRamDisk = default,
        InitialRamDiskLength = 0,
        P2M = default,
        P2MAddress = 0,
        FirstP2MFrame = 0,
        P2MFrameCount = 0,
        HypercallPageFrame = null,
        UsedFrames = 0x90,
    };
}
