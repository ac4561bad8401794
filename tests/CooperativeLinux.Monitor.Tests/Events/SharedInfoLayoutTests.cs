using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Processor.Memory;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Events;

public sealed class SharedInfoLayoutTests
{
    [Fact]
    public void Sizes_AreThoseOfTheInterface()
    {
        Assert.Equal(VcpuTimeInfo.TotalSize, Unsafe.SizeOf<VcpuTimeInfo>());
        Assert.Equal(VcpuInfo.TotalSize, Unsafe.SizeOf<VcpuInfo>());
        Assert.Equal(SharedInfo.TotalSize, Unsafe.SizeOf<SharedInfo>());
        Assert.Equal(512, Unsafe.SizeOf<PortBits>());
    }

    [Theory]
    [InlineData(typeof(VcpuTimeInfo), nameof(VcpuTimeInfo.TscTimestamp), 8)]
    [InlineData(typeof(VcpuTimeInfo), nameof(VcpuTimeInfo.SystemTime), 16)]
    [InlineData(typeof(VcpuTimeInfo), nameof(VcpuTimeInfo.TscMultiplier), 24)]
    [InlineData(typeof(VcpuTimeInfo), nameof(VcpuTimeInfo.TscShift), 28)]
    [InlineData(typeof(VcpuTimeInfo), nameof(VcpuTimeInfo.Flags), 29)]
    [InlineData(typeof(VcpuInfo), nameof(VcpuInfo.UpcallPending), 0)]
    [InlineData(typeof(VcpuInfo), nameof(VcpuInfo.UpcallMask), 1)]
    [InlineData(typeof(VcpuInfo), nameof(VcpuInfo.PendingSelector), 8)]
    [InlineData(typeof(VcpuInfo), nameof(VcpuInfo.Cr2), 16)]
    [InlineData(typeof(VcpuInfo), nameof(VcpuInfo.Time), 32)]
    [InlineData(typeof(SharedInfo), nameof(SharedInfo.Pending), 2048)]
    [InlineData(typeof(SharedInfo), nameof(SharedInfo.Mask), 2560)]
    [InlineData(typeof(SharedInfo), nameof(SharedInfo.WallClockVersion), 3072)]
    [InlineData(typeof(SharedInfo), nameof(SharedInfo.WallClockSeconds), 3076)]
    [InlineData(typeof(SharedInfo), nameof(SharedInfo.WallClockNanoseconds), 3080)]
    [InlineData(typeof(SharedInfo), nameof(SharedInfo.WallClockSecondsHigh), 3084)]
    public void Field_IsAtItsOffset(Type type, string field, int offset)
    {
        Assert.Equal(offset, (int)Marshal.OffsetOf(type, field));
    }

    [Fact]
    public void Reset_MasksUpcallsOfEverySlot()
    {
        using GuestMemory memory = new(1 << 20);

        _ = new SharedInfoPage(memory);

        Span<byte> page = memory.Frame(SpecialFrames.SharedInfo);
        int sum = 0;
        for (int slot = 0; slot < 32; slot++)
        {
            Assert.Equal(1, page[(slot * 64) + 1]);
        }

        foreach (byte value in page)
        {
            sum += value;
        }

        Assert.Equal(32, sum);
    }
}
