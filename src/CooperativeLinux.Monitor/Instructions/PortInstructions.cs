using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using RflagsBits = CooperativeLinux.Processor.Execution.RflagsBits;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>
/// Port input and output of the guest kernel (pv-interface 2.10). There are no ports: reads give all ones, writes go
/// nowhere. User code gets a #GP.
/// </summary>
internal static unsafe class PortInstructions
{
    /// <summary>Counter 2 of a PIT. All ones would make the kernel poll it 100 000 times; zero stops it at once.</summary>
    private const ushort PitCounter2 = 0x42;

    /// <summary>Elements a repeated instruction handles before interrupts are looked at.</summary>
    private const ulong MaxElements = 512;

    public static void In(VcpuContext vcpu, in Instruction instruction)
    {
        ushort port = instruction.Op1Kind == OpKind.Immediate8 ? instruction.Immediate8 : (ushort)vcpu.State->Rdx;
        vcpu.Processor.SetRegister(instruction.Op0Register, Read(port));
        InstructionOperands.Advance(vcpu, instruction);
    }

    public static void Out(VcpuContext vcpu, in Instruction instruction) => InstructionOperands.Advance(vcpu, instruction);

    /// <summary>ins: stores what the port gives at es:rdi.</summary>
    public static void InString(VcpuContext vcpu, in Instruction instruction)
    {
        VcpuState* state = vcpu.State;
        int size = ElementSize(instruction);
        bool is32 = instruction.Op0Kind == OpKind.MemoryESEDI;
        ulong value = Read((ushort)state->Rdx);
        ulong count = Count(state, instruction, is32);
        ulong step = (state->SystemFlags & RflagsBits.Direction) != 0 ? (ulong)-size : (ulong)size;
        for (ulong done = 0; done < count; done++)
        {
            if (done == MaxElements)
            {
                // rip stays: goes on after interrupts had their chance.
                return;
            }

            ulong address = is32 ? (uint)state->Rdi : state->Rdi;
            if (!InstructionOperands.TryWriteMemory(vcpu, address, size, value))
            {
                return;
            }

            state->Rdi = Truncate(state->Rdi + step, is32);
            if (instruction.HasRepPrefix)
            {
                state->Rcx = Truncate(state->Rcx - 1, is32);
            }
        }

        InstructionOperands.Advance(vcpu, instruction);
    }

    /// <summary>outs: nobody looks at the data, so it is not read.</summary>
    public static void OutString(VcpuContext vcpu, in Instruction instruction)
    {
        VcpuState* state = vcpu.State;
        int size = ElementSize(instruction);
        bool is32 = instruction.Op1Kind == OpKind.MemorySegESI;
        ulong bytes = Count(state, instruction, is32) * (ulong)size;
        bool isBackward = (state->SystemFlags & RflagsBits.Direction) != 0;
        state->Rsi = Truncate(isBackward ? state->Rsi - bytes : state->Rsi + bytes, is32);
        if (instruction.HasRepPrefix)
        {
            state->Rcx = 0;
        }

        InstructionOperands.Advance(vcpu, instruction);
    }

    private static ulong Read(ushort port) => port == PitCounter2 ? 0 : ulong.MaxValue;

    private static ulong Count(VcpuState* state, in Instruction instruction, bool is32) =>
        !instruction.HasRepPrefix ? 1 : is32 ? (uint)state->Rcx : state->Rcx;

    private static ulong Truncate(ulong value, bool is32) => is32 ? (uint)value : value;

    private static int ElementSize(in Instruction instruction) => instruction.Mnemonic switch
    {
        Mnemonic.Insb or Mnemonic.Outsb => 1,
        Mnemonic.Insw or Mnemonic.Outsw => 2,
        _ => 4,
    };
}
