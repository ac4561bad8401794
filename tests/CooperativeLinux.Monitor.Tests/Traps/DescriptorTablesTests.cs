using CooperativeLinux.Monitor.Tests.Machine;
using CooperativeLinux.Monitor.Traps;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Traps;

public sealed class DescriptorTablesTests : IDisposable
{
    private const ulong UserCode64 = 0x00af_fb00_0000_ffff, Data = 0x00cf_f300_0000_ffff;

    private readonly TestDomain _domain = new();

    public void Dispose() => _domain.Dispose();

    [Fact]
    public void TryRead_GdtEntryOfSecondFrame_ReadsIt()
    {
        _domain.Write(0x2_1000 + 8, Data);
        _domain.Vcpu.Descriptors.SetGdt([0x20, 0x21], 600);

        bool found = _domain.Vcpu.Descriptors.TryRead(513 * 8, out SegmentDescriptor descriptor);

        Assert.True(found);
        Assert.Equal(Data, descriptor.Raw);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(16 * 8)]
    [InlineData(0xe03b)]
    [InlineData(0xffff)]
    [InlineData(4)]
    public void TryRead_OutsideTables_Fails(ushort selector)
    {
        _domain.Vcpu.Descriptors.SetGdt([0x20], 16);

        Assert.False(_domain.Vcpu.Descriptors.TryRead(selector, out _));
    }

    [Fact]
    public void TryRead_LdtEntry_ReadsVirtualMemory()
    {
        _domain.Write(0x3_0008, UserCode64);
        _domain.Vcpu.Descriptors.SetLdt(0x3_0000, 2);

        Assert.True(_domain.Vcpu.Descriptors.TryRead(0xf, out SegmentDescriptor descriptor));
        Assert.True(descriptor.IsCode && descriptor.IsLong && descriptor.IsPresent);
    }

    [Theory]
    [InlineData(0xe033, true)]
    [InlineData(0xe030, true)]
    [InlineData(0x33, true)]
    [InlineData(0xe02b, false)]
    [InlineData(0xe023, false)]
    [InlineData(0x23, false)]
    public void IsLongCode_Selector_TellsWhetherCodeRuns(ushort selector, bool expected) =>
        Assert.Equal(expected, _domain.Vcpu.Descriptors.IsLongCode(selector));

    [Fact]
    public void Descriptor_BaseAndLimit_AreAssembled()
    {
        SegmentDescriptor bytes = new(0x1240_f334_5678_9abc);
        SegmentDescriptor pages = new(0x12cf_f334_5678_9abc);

        Assert.Equal(0x1234_5678u, bytes.Base);
        Assert.Equal(0x9abcu, bytes.Limit);
        Assert.Equal(0xf9ab_cfffu, pages.Limit);
    }
}
