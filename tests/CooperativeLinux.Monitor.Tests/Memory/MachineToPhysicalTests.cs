using CooperativeLinux.Monitor.Memory;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Memory;

public sealed unsafe class MachineToPhysicalTests
{
    [Theory]
    [InlineData(0UL)]
    [InlineData(0x12345UL)]
    [InlineData(MachineToPhysical.MaxFrame)]
    public void Resolve_EntryOfFrame_IsTheFrame(ulong frame)
    {
        using MachineToPhysical table = new();
        ulong address = MachineToPhysical.VirtualBase + (frame * 8);

        byte* page = table.Resolve(address & ~0xfffUL);

        Assert.Equal(frame, *(ulong*)(page + (address & 0xfff)));
    }

    [Theory]
    [InlineData(MachineToPhysical.VirtualBase - 0x1000)]
    [InlineData(MachineToPhysical.VirtualBase + ((MachineToPhysical.MaxFrame + 1) * 8))]
    [InlineData(0UL)]
    [InlineData(0xffff_ffff_ffff_f000UL)]
    public void Resolve_OutsideTable_IsNull(ulong address)
    {
        using MachineToPhysical table = new();

        Assert.True(table.Resolve(address) == null);
    }

    [Fact]
    public void Resolve_SamePageTwice_GivesSameMemory()
    {
        using MachineToPhysical table = new();

        Assert.True(table.Resolve(MachineToPhysical.VirtualBase) == table.Resolve(MachineToPhysical.VirtualBase));
    }

    [Theory]
    [InlineData(0xffff_8000_0000_0000UL, true)]
    [InlineData(0xffff_87ff_ffff_ffffUL, true)]
    [InlineData(0xffff_8800_0000_0000UL, false)]
    [InlineData(0x0000_7fff_ffff_ffffUL, false)]
    public void IsReserved_Address_IsTheHypervisorHole(ulong address, bool expected) =>
        Assert.Equal(expected, MachineToPhysical.IsReserved(address));
}
