using System.Runtime.Intrinsics.X86;
using CooperativeLinux.Host.Processor;
using Xunit;

namespace CooperativeLinux.Host.Tests.Processor;

public sealed class ProcessorTests
{
    [Fact]
    public void Read_LeafZero_NamesTheVendor()
    {
        HostProcessor processor = HostProcessor.Read();

        Assert.Matches("^[A-Za-z ]{6,12}$", processor.Vendor);
        Assert.NotEqual(0u, CpuidReader.Read(0).Eax);
    }

    [Theory]
    [InlineData(0x0000_7FFF)]
    [InlineData(0x8000_7FFF)]
    [InlineData(0xFFFF_FFFF)]
    public void Read_LeafBeyondTheLast_IsZero(uint leaf) => Assert.Equal(default, CpuidReader.Read(leaf));

    [Fact]
    public void Read_ThisProcessor_AgreesWithTheRuntime()
    {
        HostProcessor processor = HostProcessor.Read();

        Assert.Equal(Avx2.IsSupported, processor.Has(ProcessorFeatures.Avx2));
        Assert.Equal(Bmi2.IsSupported, processor.Has(ProcessorFeatures.Bmi2));
        Assert.Equal(Fma.IsSupported, processor.Has(ProcessorFeatures.Fma));
        Assert.Equal(Avx.IsSupported, (processor.Xcr0 & 6) == 6);
    }

    [Fact]
    public void Interpret_AvxStateNotEnabled_HasNoAvx()
    {
        HostProcessor processor = HostProcessor.Interpret(_ => new CpuidRegisters(~0u, ~0u, ~0u, ~0u), xcr0: 3);

        Assert.False(processor.Has(ProcessorFeatures.Avx));
        Assert.False(processor.Has(ProcessorFeatures.Avx2));
        Assert.True(processor.Has(ProcessorFeatures.Bmi2));
    }

    [Fact]
    public void Check_ProcessorOfLevel3_Passes() =>
        Assert.Null(HostRequirements.CheckProcessor(new HostProcessor("Vendor", "Brand", ProcessorFeatures.V3, 7)));

    [Fact]
    public void Check_ProcessorLackingTwo_NamesThemInOneLine()
    {
        HostProcessor processor = new("Vendor", "Old One", ProcessorFeatures.V3 & ~(ProcessorFeatures.Avx2 | ProcessorFeatures.V2), 7);

        string? line = HostRequirements.CheckProcessor(processor);

        Assert.Equal("Cooperative Linux needs a processor of level x86-64-v3; this one (Old One) lacks SSE4.2 and POPCNT, AVX2.", line);
    }

    [Fact]
    public void Check_OldSystems_NamesWhatIsNeeded()
    {
        Assert.Equal("Cooperative Linux needs a Linux kernel of version 4.18 or later; this is 3.10.0.", HostRequirements.CheckSystem(false, true, new Version(3, 10, 0)));
        Assert.Equal("Cooperative Linux needs Windows 10, version 1607 (10.0.14393), or later; this is 6.3.9600.", HostRequirements.CheckSystem(true, false, new Version(6, 3, 9600)));
        Assert.Equal("Cooperative Linux runs on Linux and Windows.", HostRequirements.CheckSystem(false, false, new Version(14, 0)));
        Assert.Null(HostRequirements.CheckSystem(false, true, new Version(4, 18)));
    }
}
