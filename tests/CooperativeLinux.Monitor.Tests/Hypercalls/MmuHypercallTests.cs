using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Tests.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Hypercalls;

public sealed class MmuHypercallTests : IDisposable
{
    private const ulong Self = 0x7ff0, Requests = TestDomain.Scratch, Done = TestDomain.Scratch + 0x800;

    // A single vCPU has nothing to flush.
    private readonly TestDomain _domain = new(2);

    public void Dispose() => _domain.Dispose();

    [Fact]
    public void MmuUpdate_NormalWrites_StoreAndNotify()
    {
        Request(0, 0x3_0008, 0x1067);
        Request(1, 0x3_0010, 0x2067);

        long result = _domain.Call(HypercallNumber.MmuUpdate, Requests, 2, Done, Self);

        Assert.Equal(0, result);
        Assert.Equal(2u, _domain.Read32(Done));
        Assert.Equal(0x1067UL, _domain.Read64(0x3_0008));
        Assert.Equal(["entry 30008 0 1067", "entry 30010 0 2067"], _domain.Processor.Calls);
    }

    [Fact]
    public void MmuUpdate_PreserveAccessedDirty_KeepsSetBits()
    {
        _domain.Write(0x3_0008, 0x1067UL);
        Request(0, 0x3_0008 | 2, 0x1001);

        _domain.Call(HypercallNumber.MmuUpdate, Requests, 1, 0, Self);

        Assert.Equal(0x1061UL, _domain.Read64(0x3_0008));
    }

    [Fact]
    public void MmuUpdate_BadEntry_StopsThereAndReportsDone()
    {
        Request(0, 0x3_0000, 1);
        Request(1, TestDomain.MemorySize, 1);
        Request(2, 0x3_0010, 1);

        long result = _domain.Call(HypercallNumber.MmuUpdate, Requests, 3, Done, Self);

        Assert.Equal(-XenError.EINVAL, result);
        Assert.Equal(1u, _domain.Read32(Done));
        Assert.Equal(0UL, _domain.Read64(0x3_0010));
    }

    [Theory]
    [InlineData(4, -XenError.ENOSYS)]
    [InlineData(7, -XenError.ENOSYS)]
    [InlineData(1, 0)]
    [InlineData(3, 0)]
    public void MmuUpdate_Command_GivesResult(uint command, long expected)
    {
        Request(0, 0x3_0000 | command, 1);

        Assert.Equal(expected, _domain.Call(HypercallNumber.MmuUpdate, Requests, 1, 0, Self));
    }

    [Theory]
    [InlineData(Requests, 1, 0UL, 5UL, -XenError.ESRCH)]
    [InlineData(Requests, uint.MaxValue, 0UL, Self, -XenError.EINVAL)]
    [InlineData(0xffff_f000_0000_0000UL, 1, 0UL, Self, -XenError.EFAULT)]
    [InlineData(Requests, 0, 0xffff_f000_0000_0000UL, Self, -XenError.EFAULT)]
    public void MmuUpdate_BadArguments_AreRefused(ulong requests, uint count, ulong done, ulong self, long expected)
    {
        Request(0, 0x3_0000, 1);

        Assert.Equal(expected, _domain.Call(HypercallNumber.MmuUpdate, requests, count, done, self));
    }

    [Fact]
    public void UpdateVaMapping_MappedAddress_RewritesLeafAndFlushesPage()
    {
        ulong entry = MapTables(0xffff_8880_0000_5000);

        long result = _domain.Call(HypercallNumber.UpdateVaMapping, 0xffff_8880_0000_5000, 0x7001, 2);

        Assert.Equal(0, result);
        Assert.Equal(0x7001UL, _domain.Read64(entry));
        Assert.Equal([$"entry {entry:x} 0 7001", "page ffff888000005000"], _domain.Processor.Calls);
    }

    [Theory]
    [InlineData(0xffff_8880_4000_0000UL)]
    [InlineData(0x8000_0000_0000_0000UL)]
    [InlineData(0xffff_8000_0000_0000UL)]
    public void UpdateVaMapping_NoLeafTable_IsInvalid(ulong address)
    {
        MapTables(0xffff_8880_0000_5000);

        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.UpdateVaMapping, address, 1, 0));
    }

    [Fact]
    public void UpdateVaMapping_BitmapOfVcpus_ReadsOneWord()
    {
        MapTables(0x5000);
        _domain.Write(0x3_0ff8, 1UL);
        _domain.Processor.Missing.Add(0x3_1000);

        Assert.Equal(0, _domain.Call(HypercallNumber.UpdateVaMapping, 0x5000, 1, 0x3_0ff8 | 1));
        Assert.Contains("flush", _domain.Processor.Calls);
    }

    [Theory]
    [InlineData(6u)]
    [InlineData(8u)]
    [InlineData(10u)]
    public void MmuExt_FlushWithOneVcpu_KeepsExactTranslations(uint command)
    {
        using TestDomain alone = new(1);
        alone.Write(Requests, command);
        alone.Write(Requests + 8, 0UL);
        alone.Write(Requests + 16, 0UL);
        alone.Call(HypercallNumber.MmuExtOp, Requests, 1, 0, Self);

        Assert.Empty(alone.Processor.Calls);
    }

    [Theory]
    [InlineData(0u, "mark 20 1")]
    [InlineData(3u, "mark 20 4")]
    [InlineData(4u, "mark 20 0")]
    [InlineData(5u, "roots 20 11")]
    [InlineData(15u, "roots 10 20")]
    [InlineData(6u, "flush")]
    [InlineData(10u, "flush")]
    [InlineData(7u, "page 20")]
    [InlineData(11u, "page 20")]
    public void MmuExt_Command_ReachesProcessor(uint command, string expected)
    {
        ExtRequest(0, command, 0x20, 0);

        Assert.Equal(0, _domain.Call(HypercallNumber.MmuExtOp, Requests, 1, 0, Self));
        Assert.Equal([expected], _domain.Processor.Calls);
    }

    [Theory]
    [InlineData(0u, 0x100UL, 0UL, -XenError.EINVAL)]
    [InlineData(4u, ulong.MaxValue, 0UL, -XenError.EINVAL)]
    [InlineData(5u, 0x100UL, 0UL, -XenError.EINVAL)]
    [InlineData(15u, 0x100UL, 0UL, -XenError.EINVAL)]
    [InlineData(8u, 0UL, 0xffff_f000_0000_0000UL, -XenError.EFAULT)]
    [InlineData(12u, 0UL, 0UL, 0)]
    [InlineData(13u, 0x1001UL, 1UL, -XenError.EINVAL)]
    [InlineData(13u, 0x1000UL, 8193UL, -XenError.EINVAL)]
    [InlineData(16u, 0x100UL, 0UL, -XenError.EINVAL)]
    [InlineData(17u, 0x1UL, 0x100UL, -XenError.EINVAL)]
    [InlineData(19u, 0UL, 0UL, -XenError.EOPNOTSUPP)]
    [InlineData(14u, 0UL, 0UL, -XenError.ENOSYS)]
    [InlineData(99u, 0UL, 0UL, -XenError.ENOSYS)]
    public void MmuExt_Command_GivesResult(uint command, ulong first, ulong second, long expected)
    {
        ExtRequest(0, command, first, second);

        Assert.Equal(expected, _domain.Call(HypercallNumber.MmuExtOp, Requests, 1, 0, Self));
    }

    [Fact]
    public void MmuExt_CopyPage_Copies()
    {
        _domain.Write(0x3_0ff8, 77UL);
        ExtRequest(0, 17, 0x31, 0x30);

        _domain.Call(HypercallNumber.MmuExtOp, Requests, 1, 0, Self);

        Assert.Equal(77UL, _domain.Read64(0x3_1ff8));
    }

    [Fact]
    public void Multicall_ErrorInOne_DoesNotStopTheOthers()
    {
        MulticallEntry(0, 99, 0, 0);
        MulticallEntry(1, HypercallNumber.StackSwitch, 0xe02b, 0x1234);
        MulticallEntry(2, HypercallNumber.Multicall, 0, 0);
        MulticallEntry(3, HypercallNumber.Iret, 0, 0);

        long result = _domain.Call(HypercallNumber.Multicall, Requests, 4);

        Assert.Equal(0, result);
        Assert.Equal(-XenError.ENOSYS, (long)_domain.Read64(Requests + 8));
        Assert.Equal(0UL, _domain.Read64(Requests + 64 + 8));
        Assert.Equal(-XenError.EINVAL, (long)_domain.Read64(Requests + 128 + 8));
        Assert.Equal(-XenError.ENOSYS, (long)_domain.Read64(Requests + 192 + 8));
        Assert.Equal(0x1234UL, _domain.Vcpu.KernelStackPointer);
    }

    [Theory]
    [InlineData(Requests, ulong.MaxValue, -XenError.EINVAL)]
    [InlineData(0xffff_f000_0000_0000UL, 1UL, -XenError.EFAULT)]
    public void Multicall_BadArguments_AreRefused(ulong entries, ulong count, long expected) =>
        Assert.Equal(expected, _domain.Call(HypercallNumber.Multicall, entries, count));

    [Fact]
    public void HotHypercalls_DoNotAllocate()
    {
        MapTables(0x5000);
        _domain.Processor.Missing.Clear();
        Request(0, 0x3_0008, 0);
        MulticallEntry(16, HypercallNumber.StackSwitch, 0xe02b, TestDomain.KernelStack);
        RunHotCalls();
        long before = GC.GetAllocatedBytesForCurrentThread();

        RunHotCalls();

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private void RunHotCalls()
    {
        for (int i = 0; i < 100; i++)
        {
            _domain.Call(HypercallNumber.MmuUpdate, Requests, 1, 0, Self);
            _domain.Call(HypercallNumber.UpdateVaMapping, 0x5000, 0, 0);
            _domain.Call(HypercallNumber.Multicall, Requests + (16 * 64), 1);
            _domain.Call(HypercallNumber.SetSegmentBase, 0, 0x1000);
            _domain.Call(HypercallNumber.XenVersion, 0);
        }
    }

    private void Request(int index, ulong pointer, ulong value)
    {
        _domain.Write(Requests + ((ulong)index * 16), pointer);
        _domain.Write(Requests + ((ulong)index * 16) + 8, value);
    }

    private void ExtRequest(int index, uint command, ulong first, ulong second)
    {
        ulong address = Requests + ((ulong)index * 24);
        _domain.Write(address, command);
        _domain.Write(address + 8, first);
        _domain.Write(address + 16, second);
    }

    private void MulticallEntry(int index, uint number, ulong first, ulong second)
    {
        ulong address = Requests + ((ulong)index * 64);
        _domain.Write(address, (ulong)number);
        _domain.Write(address + 16, first);
        _domain.Write(address + 24, second);
    }

    /// <summary>Tables at frames 0x10 (root), 0x60, 0x61, 0x62 for one address; gives the address of its leaf entry.</summary>
    private ulong MapTables(ulong address)
    {
        ulong[] tables = [TestDomain.Root, 0x60, 0x61, 0x62];
        for (int level = 0; level < 3; level++)
        {
            ulong index = (address >> (39 - (level * 9))) & 0x1ff;
            _domain.Write((tables[level] << 12) + (index * 8), (tables[level + 1] << 12) | 0x67);
        }

        return (0x62UL << 12) + (((address >> 12) & 0x1ff) * 8);
    }
}
