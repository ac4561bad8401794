using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>Arguments of a hypercall, read once: rdi, rsi, rdx, r10, r8, r9, or an entry of a multicall.</summary>
internal readonly record struct HypercallArguments(ulong A, ulong B, ulong C, ulong D, ulong E, ulong F)
{
    public static HypercallArguments FromRegisters(in VcpuState state) =>
        new(state.Rdi, state.Rsi, state.Rdx, state.R10, state.R8, state.R9);
}
