using CooperativeLinux.Monitor.Instructions;
using CooperativeLinux.Monitor.Tests.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Instructions;

public sealed class CpuidPolicyTests
{
    private const uint OsXsave = 1u << 27;

    private static readonly CpuidPolicy _policy = new(FakeHost.Query, 2_445_426, (123, -1));

    [Theory]
    [InlineData(1u, 'd', 3, "PSE")]
    [InlineData(1u, 'd', 9, "APIC")]
    [InlineData(1u, 'd', 12, "MTRR")]
    [InlineData(1u, 'd', 13, "PGE")]
    [InlineData(1u, 'd', 17, "PSE36")]
    [InlineData(1u, 'd', 28, "HTT")]
    [InlineData(1u, 'c', 3, "MONITOR")]
    [InlineData(1u, 'c', 5, "VMX")]
    [InlineData(1u, 'c', 17, "PCID")]
    [InlineData(1u, 'c', 21, "X2APIC")]
    [InlineData(1u, 'c', 24, "TSC_DEADLINE")]
    [InlineData(7u, 'b', 1, "TSC_ADJUST")]
    [InlineData(7u, 'b', 2, "SGX")]
    [InlineData(7u, 'b', 7, "SMEP")]
    [InlineData(7u, 'b', 10, "INVPCID")]
    [InlineData(7u, 'b', 11, "RTM")]
    [InlineData(7u, 'b', 14, "MPX")]
    [InlineData(7u, 'b', 16, "AVX512F")]
    [InlineData(7u, 'b', 20, "SMAP")]
    [InlineData(7u, 'c', 2, "UMIP")]
    [InlineData(7u, 'c', 3, "PKU")]
    [InlineData(7u, 'c', 7, "SHSTK")]
    [InlineData(7u, 'c', 16, "LA57")]
    [InlineData(7u, 'd', 20, "IBT")]
    [InlineData(7u, 'd', 24, "AMX")]
    [InlineData(7u, 'd', 26, "SPEC_CTRL")]
    [InlineData(0xdu, 'd', 0, "XCR0 upper half")]
    [InlineData(0xau, 'a', 0, "performance counters")]
    [InlineData(0x8000_0001u, 'c', 2, "SVM")]
    [InlineData(0x8000_0001u, 'c', 10, "IBS")]
    [InlineData(0x8000_0001u, 'c', 22, "TOPOEXT")]
    [InlineData(0x8000_0001u, 'c', 29, "MWAITX")]
    [InlineData(0x8000_0001u, 'd', 26, "PAGE1GB")]
    [InlineData(0x8000_0001u, 'd', 27, "RDTSCP")]
    public void Query_FeatureWithoutSupport_IsHidden(uint leaf, char register, int bit, string name)
    {
        Assert.True((Word(leaf, register) >> bit & 1) == 0, name);
    }

    [Theory]
    [InlineData(1u, 'd', 0, "FPU")]
    [InlineData(1u, 'd', 4, "TSC")]
    [InlineData(1u, 'd', 5, "MSR")]
    [InlineData(1u, 'd', 6, "PAE")]
    [InlineData(1u, 'd', 8, "CX8")]
    [InlineData(1u, 'd', 15, "CMOV")]
    [InlineData(1u, 'd', 24, "FXSR")]
    [InlineData(1u, 'd', 26, "SSE2")]
    [InlineData(1u, 'c', 12, "FMA")]
    [InlineData(1u, 'c', 26, "XSAVE")]
    [InlineData(1u, 'c', 28, "AVX")]
    [InlineData(1u, 'c', 30, "RDRAND")]
    [InlineData(1u, 'c', 31, "HYPERVISOR")]
    [InlineData(7u, 'b', 0, "FSGSBASE")]
    [InlineData(7u, 'b', 5, "AVX2")]
    [InlineData(7u, 'b', 8, "BMI2")]
    [InlineData(0x8000_0001u, 'c', 5, "LZCNT")]
    [InlineData(0x8000_0001u, 'd', 11, "SYSCALL")]
    [InlineData(0x8000_0001u, 'd', 20, "NX")]
    [InlineData(0x8000_0001u, 'd', 29, "LM")]
    [InlineData(0x8000_0007u, 'd', 8, "invariant TSC")]
    public void Query_FeatureOfModel_IsShown(uint leaf, char register, int bit, string name)
    {
        Assert.True((Word(leaf, register) >> bit & 1) == 1, name);
    }

    [Theory]
    [InlineData(true, false, false, true)]
    [InlineData(false, false, false, false)]
    [InlineData(false, false, true, true)]
    [InlineData(true, true, false, false)]
    [InlineData(false, true, true, true)]
    public void Query_OsXsave_FollowsFormAndCr4(bool isForced, bool isUser, bool isEnabled, bool expected)
    {
        ulong cr4 = isEnabled ? ControlRegisters.Cr4OsXsave : 0;

        CpuidResult result = _policy.Query(1, 0, new CpuidQuery(0, isForced, isUser, cr4, 1));

        Assert.Equal(expected, (result.Ecx & OsXsave) != 0);
    }

    [Theory]
    [InlineData(1UL, 576u)]
    [InlineData(3UL, 576u)]
    [InlineData(7UL, 832u)]
    public void Query_XsaveSizes_FollowXcr0(ulong xcr0, uint size)
    {
        CpuidQuery query = new(0, false, false, 0, xcr0);

        Assert.Equal(new CpuidResult(7, size, 832, 0), _policy.Query(0xd, 0, query));
        Assert.Equal(new CpuidResult(7, size, 0, 0), _policy.Query(0xd, 1, query));
        Assert.Equal(new CpuidResult(256, 576, 0, 0), _policy.Query(0xd, 2, query));
        Assert.Equal(default, _policy.Query(0xd, 3, query));
    }

    [Fact]
    public void Query_HostWithoutXsave_HidesAvxEverywhere()
    {
        CpuidPolicy policy = new((leaf, sub) => leaf == 1 ? FakeHost.Query(1, 0) with { Ecx = ~CpuFeatures.Xsave } : FakeHost.Query(leaf, sub), 1, (1, 0));

        Assert.Equal(0UL, policy.SupportedXcr0);
        Assert.Equal(0u, policy.Query(1, 0, default).Ecx & CpuFeatures.Avx);
        Assert.Equal(0u, policy.Query(7, 0, default).Ebx & CpuFeatures.Avx2);
        Assert.Equal(default, policy.Query(0xd, 0, default));
    }

    [Fact]
    public void Query_HypervisorLeaves_NameTheInterface()
    {
        Assert.Equal(new CpuidResult(0x4000_0005, 0x566e_6558, 0x6558_4d4d, 0x4d4d_566e), _policy.Query(0x4000_0000, 0, default));
        Assert.Equal(0x0004_0011u, _policy.Query(0x4000_0001, 0, default).Eax);
        Assert.Equal(new CpuidResult(1, 0x4000_0000, 1, 0), _policy.Query(0x4000_0002, 0, default));
        Assert.Equal(2_445_426u, _policy.Query(0x4000_0003, 0, default).Ecx);
        Assert.Equal(new CpuidResult(0, 0, 123, uint.MaxValue), _policy.Query(0x4000_0003, 1, default));
        Assert.True(_policy.Query(0x4000_0005, 0, default).Ebx <= 44);
        Assert.Equal(default, _policy.Query(0x4000_0006, 0, default));
    }

    [Fact]
    public void Query_Amd_HasNoSpeculationBugs()
    {
        CpuidPolicy policy = new(FakeHost.QueryAmd, 1, (1, 0));

        Assert.Equal(0x8000_0021u, policy.Query(0x8000_0000, 0, default).Eax);
        Assert.Equal(1u, policy.Query(0x8000_0021, 0, default).Eax >> 29 & 1);
        Assert.Equal(6u, policy.Query(0x8000_0021, 0, default).Ecx);
        Assert.Equal(default, policy.Query(0x8000_001f, 0, default));
    }

    [Fact]
    public void Query_AddressSizes_CoverSpecialFrames() =>
        Assert.True((_policy.Query(0x8000_0008, 0, default).Eax & 0xff) >= 40);

    [Fact]
    public void Query_Vcpu_HasItsApicId() =>
        Assert.Equal(6u, _policy.Query(1, 0, new CpuidQuery(3, false, false, 0, 1)).Ebx >> 24);

    [Fact]
    public void ForHost_ThisProcessor_IsAModelTheKernelTakes()
    {
        CpuidPolicy policy = CpuidPolicy.ForHost(1_000_000, (1, 0));
        CpuidResult features = policy.Query(1, 0, default);

        const uint Mandatory = 1u << 0 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 15 | 1u << 24 | 1u << 25 | 1u << 26;
        Assert.Equal(Mandatory, features.Edx & Mandatory);
    }

    private static uint Word(uint leaf, char register)
    {
        CpuidResult result = _policy.Query(leaf, 0, new CpuidQuery(0, false, false, 0, 7));
        return register switch
        {
            'a' => result.Eax,
            'b' => result.Ebx,
            'c' => result.Ecx,
            _ => result.Edx,
        };
    }
}
