using System.Runtime.Intrinsics.X86;

namespace CooperativeLinux.Host.Processor;

/// <summary>What a cpuid instruction leaves in the registers.</summary>
public readonly record struct CpuidRegisters(uint Eax, uint Ebx, uint Ecx, uint Edx);

/// <summary>Reads the host processor's identification.</summary>
public static class CpuidReader
{
    private const uint ExtendedBase = 0x8000_0000;
    private const uint HypervisorBase = 0x4000_0000;

    /// <summary>Executes cpuid. All zero for basic and extended leaves beyond the processor's last (Intel's would answer with those
    /// of its last basic leaf).</summary>
    /// <param name="leaf">Value of eax.</param>
    /// <param name="sub">Value of ecx.</param>
    /// <exception cref="PlatformNotSupportedException">No x86 processor.</exception>
    public static CpuidRegisters Read(uint leaf, uint sub = 0)
    {
        bool isHypervisor = leaf is >= HypervisorBase and < ExtendedBase;
        return isHypervisor || leaf <= Execute(leaf & ExtendedBase, 0).Eax ? Execute(leaf, sub) : default;
    }

    private static CpuidRegisters Execute(uint leaf, uint sub)
    {
        if (!X86Base.IsSupported)
        {
            throw new PlatformNotSupportedException("Cooperative Linux needs an x86-64 processor.");
        }

        (int eax, int ebx, int ecx, int edx) = X86Base.CpuId((int)leaf, (int)sub);
        return new CpuidRegisters((uint)eax, (uint)ebx, (uint)ecx, (uint)edx);
    }
}
