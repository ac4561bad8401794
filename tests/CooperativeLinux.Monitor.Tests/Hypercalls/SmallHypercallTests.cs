using System.Text;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Memory;
using CooperativeLinux.Monitor.Tests.Machine;
using CooperativeLinux.Monitor.Traps;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Hypercalls;

public sealed unsafe class SmallHypercallTests : IDisposable
{
    private const ulong Argument = TestDomain.Scratch, Unreadable = 0xffff_f000_0000_0000;

    private readonly TestDomain _domain = new();

    public void Dispose() => _domain.Dispose();

    [Fact]
    public void OnSyscall_InKernel_ReturnsResultAndSetsRcxAndR11()
    {
        _domain.State->Rax = HypercallNumber.XenVersion;
        _domain.State->Rdi = 0;
        _domain.State->Rip = 0x1002;
        _domain.State->Rbx = 5;

        _domain.Exits.OnSyscall();

        Assert.Equal(0x40011UL, _domain.State->Rax);
        Assert.Equal(0x1002UL, _domain.State->Rcx);
        Assert.Equal(_domain.State->Rflags, _domain.State->R11);
        Assert.Equal(5UL, _domain.State->Rbx);
    }

    [Fact]
    public void OnSyscall_NoOpWithEventPending_DeliversEventAfterResult()
    {
        _domain.State->Rax = HypercallNumber.XenVersion;
        _domain.Vcpu.Info.UpcallMask = 0;
        _domain.Vcpu.Info.UpcallPending = 1;

        _domain.Exits.OnSyscall();

        Assert.Equal(TestDomain.EventHandler, _domain.State->Rip);
        Assert.Equal(0x40011UL, _domain.State->Rax);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(22)]
    [InlineData(34)]
    [InlineData(48)]
    [InlineData(1000)]
    public void Dispatch_UnknownNumber_IsNotImplemented(uint number) => Assert.Equal(-XenError.ENOSYS, _domain.Call(number));

    [Fact]
    public void XenVersion_Features_AreTheMandatoryOnes()
    {
        Assert.Equal(0, _domain.Call(HypercallNumber.XenVersion, 6, Argument));
        Assert.Equal(0x20b0u, _domain.Read32(Argument + 4));

        _domain.Write(Argument, 1u);
        _domain.Call(HypercallNumber.XenVersion, 6, Argument);
        Assert.Equal(0u, _domain.Read32(Argument + 4));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(8)]
    public void XenVersion_BadPointer_Faults(ulong command) =>
        Assert.Equal(-XenError.EFAULT, _domain.Call(HypercallNumber.XenVersion, command, Unreadable));

    [Fact]
    public void MemoryOp_MachineToPhysical_DescribesTheTable()
    {
        Assert.Equal(0, _domain.Call(HypercallNumber.MemoryOp, 12, Argument));

        Assert.Equal(MachineToPhysical.VirtualBase, _domain.Read64(Argument));
        Assert.Equal(MachineToPhysical.VirtualBase + (8 * (MachineToPhysical.MaxFrame + 1)), _domain.Read64(Argument + 8));
        Assert.Equal(MachineToPhysical.MaxFrame, _domain.Read64(Argument + 16));
    }

    [Fact]
    public void MemoryOp_MemoryMap_IsOneRangeOfRam()
    {
        _domain.Write(Argument, 128u);
        _domain.Write(Argument + 8, 0x3_0000UL);

        Assert.Equal(0, _domain.Call(HypercallNumber.MemoryOp, 9, Argument));

        Assert.Equal(1u, _domain.Read32(Argument));
        Assert.Equal(0UL, _domain.Read64(0x3_0000));
        Assert.Equal(TestDomain.MemorySize, _domain.Read64(0x3_0008));
        Assert.Equal(1u, _domain.Read32(0x3_0010));
    }

    [Fact]
    public void MemoryOp_Balloon_CountsFrames()
    {
        WriteReservation(3, 0, 0x7ff0);
        _domain.Write(0x3_0000, 0x80UL);
        _domain.Write(0x3_0008, 0x81UL);
        _domain.Write(0x3_0010, 0x80UL);

        Assert.Equal(3, _domain.Call(HypercallNumber.MemoryOp, 1, Argument));
        Assert.Equal(254UL, _domain.Services.Balloon.PresentFrames);
        Assert.Equal(3, _domain.Call(HypercallNumber.MemoryOp, 6, Argument));
        Assert.Equal(256UL, _domain.Services.Balloon.PresentFrames);
    }

    [Fact]
    public void MemoryOp_Decrease_LosesTheContentOfTheseFramesOnly()
    {
        // Frames as a guest gives them: upwards, downwards, and apart.
        ulong[] released = [0x80, 0x81, 0x82, 0x7f, 0x90, 0x8f, 0x8e, 0xa0];
        ulong[] kept = [0x7e, 0x83, 0x8d, 0x91, 0x9f, 0xa1];
        foreach (ulong frame in (ulong[])[.. released, .. kept])
        {
            _domain.Write((frame * 4096) + 4088, frame);
        }

        WriteReservation((ulong)released.Length, 0, 0x7ff0);
        for (int i = 0; i < released.Length; i++)
        {
            _domain.Write(0x3_0000 + ((ulong)i * 8), released[i]);
        }

        Assert.Equal(released.Length, _domain.Call(HypercallNumber.MemoryOp, 1, Argument));

        Assert.All(released, frame => Assert.Equal(0UL, _domain.Read64((frame * 4096) + 4088)));
        Assert.All(kept, frame => Assert.Equal(frame, _domain.Read64((frame * 4096) + 4088)));
    }

    [Theory]
    [InlineData(2UL, 0u, 0x7ff0, 1)]
    [InlineData(2UL, 11u, 0x7ff0, 0)]
    [InlineData(2UL, 0u, 3, 0)]
    [InlineData(ulong.MaxValue, 0u, 0x7ff0, 0)]
    public void MemoryOp_BadReservation_StopsEarly(ulong extents, uint order, ushort owner, long expected)
    {
        WriteReservation(extents, order, owner);
        _domain.Write(0x3_0000, 0x80UL);
        _domain.Write(0x3_0008, 0x100UL);

        Assert.Equal(expected, _domain.Call(HypercallNumber.MemoryOp, 1, Argument));
    }

    [Fact]
    public void ConsoleIo_Write_ReachesConsole()
    {
        byte[] text = Encoding.ASCII.GetBytes(new string('x', 3000));
        _domain.Memory.TryWrite(0x3_0000, text);

        Assert.Equal(0, _domain.Call(HypercallNumber.ConsoleIo, 0, 3000, 0x3_0000));
        Assert.Equal(text, _domain.ConsoleOutput);
    }

    [Fact]
    public void ConsoleIo_BadPointer_Faults() =>
        Assert.Equal(-XenError.EFAULT, _domain.Call(HypercallNumber.ConsoleIo, 0, uint.MaxValue, Unreadable));

    [Fact]
    public void EventChannel_BindVirqThenStatus_TellsIt()
    {
        _domain.Write(Argument, 1u);

        Assert.Equal(0, _domain.Call(HypercallNumber.EventChannelOp, 1, Argument));
        uint port = _domain.Read32(Argument + 8);
        _domain.Write(Argument, 0x7ff0UL);
        _domain.Write(Argument + 4, port);
        Assert.Equal(0, _domain.Call(HypercallNumber.EventChannelOp, 5, Argument));

        Assert.Equal((uint)ChannelState.Virq, _domain.Read32(Argument + 8));
        Assert.Equal(1u, _domain.Read32(Argument + 16));
    }

    [Theory]
    [InlineData(0, -XenError.EINVAL)]
    [InlineData(2, -XenError.EINVAL)]
    [InlineData(11, -XenError.ENOSYS)]
    [InlineData(12, -XenError.ENOSYS)]
    [InlineData(13, -XenError.ENOSYS)]
    public void EventChannel_Refused_GivesError(ulong command, long expected) =>
        Assert.Equal(expected, _domain.Call(HypercallNumber.EventChannelOp, command, Argument));

    [Fact]
    public void EventChannel_AnswerNotWritable_TakesPortBack()
    {
        _domain.Write(0x3_0ffc, 0u);
        _domain.Processor.Missing.Add(0x3_1000);

        Assert.Equal(-XenError.EFAULT, _domain.Call(HypercallNumber.EventChannelOp, 7, 0x3_0ffc));
        Assert.Equal(0, _domain.Events.BindIpi(0, out uint port));
        Assert.Equal(1u, port);
    }

    [Fact]
    public void GrantTable_Setup_WritesFrameNumbers()
    {
        _domain.Write(Argument, 0x7ff0UL);
        _domain.Write(Argument + 4, 2u);
        _domain.Write(Argument + 16, 0x3_0000UL);

        Assert.Equal(0, _domain.Call(HypercallNumber.GrantTableOp, 2, Argument, 1));

        Assert.Equal(0u, _domain.Read32(Argument + 8) & 0xffff);
        Assert.Equal(SpecialFrames.GrantTable, _domain.Read64(0x3_0000));
        Assert.Equal(SpecialFrames.GrantTable + 1, _domain.Read64(0x3_0008));
    }

    [Fact]
    public void GrantTable_TooManyFrames_SetsErrorStatus()
    {
        _domain.Write(Argument, 0x7ff0UL);
        _domain.Write(Argument + 4, uint.MaxValue);

        Assert.Equal(0, _domain.Call(HypercallNumber.GrantTableOp, 2, Argument, 1));
        Assert.Equal(0xffffu, _domain.Read32(Argument + 8) & 0xffff);
    }

    [Fact]
    public void GrantTable_Version2_IsRefused()
    {
        _domain.Write(Argument, 2u);

        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.GrantTableOp, 8, Argument, 1));
        Assert.Equal(1u, _domain.Read32(Argument));
    }

    [Fact]
    public void SetTrapTable_List_ReplacesListedVectorsOnly()
    {
        _domain.InstallTraps();
        WriteTrap(0, 14, 0x1111_0000);
        WriteTrap(1, 0x80, 0x2222_0000);
        WriteTrap(2, 0, 0);

        Assert.Equal(0, _domain.Call(HypercallNumber.SetTrapTable, Argument));

        Assert.Equal(0x1111_0000UL, _domain.Vcpu.Traps[14].Address);
        Assert.Equal(0x2222_0000UL, _domain.Vcpu.Traps[0x80].Address);
        Assert.Equal(TestDomain.HandlerOf(13), _domain.Vcpu.Traps[13].Address);
        Assert.Equal(0, _domain.Call(HypercallNumber.SetTrapTable, 0));
        Assert.Equal(0UL, _domain.Vcpu.Traps[13].Address);
    }

    [Fact]
    public void SetTrapTable_WithoutEnd_IsRefused()
    {
        for (int i = 0; i < 300; i++)
        {
            WriteTrap(i, 1, 0x1000);
        }

        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.SetTrapTable, Argument));
    }

    [Theory]
    [InlineData(7169UL, 0x20UL, -XenError.EINVAL)]
    [InlineData(16UL, 0x100UL, -XenError.EINVAL)]
    [InlineData(16UL, 0x20UL, 0)]
    public void SetGdt_Frames_AreChecked(ulong entries, ulong frame, long expected)
    {
        _domain.Write(Argument, frame);

        Assert.Equal(expected, _domain.Call(HypercallNumber.SetGdt, Argument, entries));
    }

    [Fact]
    public void UpdateDescriptor_Address_IsWritten()
    {
        Assert.Equal(0, _domain.Call(HypercallNumber.UpdateDescriptor, 0x3_0008, 0x1234));
        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.UpdateDescriptor, 0x3_0004, 0x1234));
        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.UpdateDescriptor, TestDomain.MemorySize, 0x1234));
        Assert.Equal(0x1234UL, _domain.Read64(0x3_0008));
    }

    [Fact]
    public void SetSegmentBase_Each_SetsItsBase()
    {
        _domain.Write(0x2_0000 + (12 * 8), 0x12cf_f334_5678_9abcUL);
        _domain.Vcpu.Descriptors.SetGdt([0x20], 16);

        _domain.Call(HypercallNumber.SetSegmentBase, 0, 1);
        _domain.Call(HypercallNumber.SetSegmentBase, 1, 2);
        _domain.Call(HypercallNumber.SetSegmentBase, 2, 3);
        Assert.Equal((1UL, 2UL, 3UL), (_domain.State->FsBase, _domain.Vcpu.InactiveGsBase, _domain.State->GsBase));

        _domain.Call(HypercallNumber.SetSegmentBase, 3, 0x63);
        Assert.Equal((0x1234_5678UL, 3UL), (_domain.Vcpu.InactiveGsBase, _domain.State->GsBase));
        Assert.Equal(0x63, _domain.State->Selectors[Selector.Gs]);

        Assert.Equal(0, _domain.Call(HypercallNumber.SetSegmentBase, 3, 0xfff3));
        Assert.Equal(0UL, _domain.Vcpu.InactiveGsBase);
        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.SetSegmentBase, 0, 1UL << 60));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(2, 0)]
    [InlineData(4, 0)]
    [InlineData(5, -XenError.EINVAL)]
    [InlineData(7, -XenError.EINVAL)]
    [InlineData(9, -XenError.ENOSYS)]
    public void CallbackOp_Type_GivesResult(ushort type, long expected)
    {
        _domain.Write(Argument, (uint)type | (1u << 16));
        _domain.Write(Argument + 8, 0xffff_ffff_8100_0000UL);

        Assert.Equal(expected, _domain.Call(HypercallNumber.CallbackOp, 0, Argument));
    }

    [Fact]
    public void CallbackOp_Syscall_IsRegisteredWithFlag()
    {
        _domain.Write(Argument, 2u | (1u << 16));
        _domain.Write(Argument + 8, 0xffff_ffff_8100_0000UL);

        _domain.Call(HypercallNumber.CallbackOp, 0, Argument);

        Assert.Equal(0xffff_ffff_8100_0000UL, _domain.Vcpu.SyscallCallback.Address);
        Assert.True(_domain.Vcpu.SyscallCallback.MasksEvents);
        _domain.Write(Argument + 8, 0x8000_0000_0000_0000UL);
        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.CallbackOp, 0, Argument));
    }

    [Fact]
    public void DebugRegister_SetThenGet_IsKept()
    {
        Assert.Equal(0, _domain.Call(HypercallNumber.SetDebugRegister, 7, 0x155));
        Assert.Equal(0x155, _domain.Call(HypercallNumber.GetDebugRegister, 7));
        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.SetDebugRegister, 4, 0));
        Assert.Equal(-XenError.EINVAL, _domain.Call(HypercallNumber.GetDebugRegister, ulong.MaxValue));
    }

    [Fact]
    public void Physdev_SetIopl_IsKept()
    {
        _domain.Write(Argument, 1u);

        Assert.Equal(0, _domain.Call(HypercallNumber.PhysdevOp, 6, Argument));
        Assert.Equal(1u, _domain.Vcpu.IoPrivilegeLevel);
        Assert.Equal(-XenError.ENOSYS, _domain.Call(HypercallNumber.PhysdevOp, 28, Argument));
    }

    private void WriteTrap(int index, byte vector, ulong address)
    {
        ulong entry = Argument + ((ulong)index * 16);
        _domain.Write(entry, (ulong)vector | 0x400);
        _domain.Write(entry + 8, address);
    }

    private void WriteReservation(ulong extents, uint order, ushort owner)
    {
        _domain.Write(Argument, 0x3_0000UL);
        _domain.Write(Argument + 8, extents);
        _domain.Write(Argument + 16, order);
        _domain.Write(Argument + 20, 0u);
        _domain.Write(Argument + 24, owner);
    }

    [Fact]
    public void Dispatch_UnknownNumbers_AreRefusedAndLoggedOnceEach()
    {
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(-XenError.ENOSYS, _domain.Call(39));
            Assert.Equal(-XenError.ENOSYS, _domain.Call(55));
            Assert.Equal(-XenError.ENOSYS, _domain.Call(uint.MaxValue - (uint)i));
        }

        Assert.Equal(
            [
                "the guest used hypercall 39, which does not exist here",
                "the guest used hypercall 55, which does not exist here",
                $"the guest used hypercall {uint.MaxValue}, which does not exist here",
            ],
            _domain.Log.Lines);
    }
}
