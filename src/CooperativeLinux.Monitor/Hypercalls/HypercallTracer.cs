using System.Globalization;
using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>Prints each hypercall as a line: vCPU, rip after the call, name, arguments, result. Entries of a multicall are
/// indented and come before their multicall.</summary>
/// <param name="output">Takes a line; called on vCPU threads, one at a time.</param>
internal sealed unsafe class HypercallTracer(Action<string> output)
{
    private readonly Lock _lock = new();

    public void Trace(VcpuContext vcpu, uint number, in HypercallArguments arguments, long result, bool isNested)
    {
        string line = string.Create(
            CultureInfo.InvariantCulture,
            $"{vcpu.Index} {vcpu.State->Rip:x16} {(isNested ? "  " : string.Empty)}{HypercallNumber.Name(number)}({number}) {arguments.A:x} {arguments.B:x} {arguments.C:x} {arguments.D:x} {arguments.E:x} = {result}");
        lock (_lock)
        {
            output(line);
        }
    }
}
