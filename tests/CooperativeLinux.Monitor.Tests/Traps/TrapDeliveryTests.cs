using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Tests.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Traps;

public sealed unsafe class TrapDeliveryTests : IDisposable
{
    private readonly TestDomain _domain = new();

    public TrapDeliveryTests() => _domain.InstallTraps();

    public void Dispose() => _domain.Dispose();

    [Fact]
    public void DeliverException_FromKernel_PushesFrameWithClearedRplOnCurrentStack()
    {
        _domain.State->Rsp = 0x7ff8;
        _domain.State->Rcx = 0x11;
        _domain.State->R11 = 0x22;
        _domain.State->Rflags = RflagsBits.Zero | RflagsBits.Direction | RflagsBits.AlignmentCheck;
        _domain.Vcpu.Info.UpcallMask = 0;

        TrapDelivery.DeliverException(_domain.Vcpu, new GuestException(GuestException.GeneralProtection, 0x18));

        ulong flags = RflagsBits.Zero | RflagsBits.Direction | RflagsBits.AlignmentCheck | RflagsBits.Always;
        Assert.Equal([0x11, 0x22, 0x18, 0x1000, 0xe030, flags, 0x7ff8, 0xe02b], _domain.StackWords(8));
        Assert.Equal(0x7ff0UL - 64, _domain.State->Rsp);
        Assert.Equal(TestDomain.HandlerOf(13), _domain.State->Rip);
        Assert.Equal(RflagsBits.Zero | RflagsBits.Direction | RflagsBits.Always, _domain.State->Rflags);
        Assert.Equal(1, _domain.Vcpu.Info.UpcallMask);
    }

    [Fact]
    public void DeliverException_FromUser_SwitchesStackModeAndGsBase()
    {
        _domain.State->GsBase = 0x1111;
        _domain.Vcpu.InactiveGsBase = 0x2222;
        _domain.EnterUserMode();
        _domain.State->Rsp = 0x6004;
        _domain.Vcpu.Info.UpcallMask = 0;

        TrapDelivery.DeliverException(_domain.Vcpu, new GuestException(GuestException.DivideError));

        Assert.Equal([0, 0, 0x1000, 0x33, RflagsBits.Always, 0x6004, 0x2b], _domain.StackWords(7));
        Assert.Equal(TestDomain.KernelStack - 56, _domain.State->Rsp);
        Assert.Equal(0u, _domain.State->UserMode);
        Assert.Equal(0x1111UL, _domain.State->GsBase);
        Assert.Equal(0x2222UL, _domain.Vcpu.InactiveGsBase);
        Assert.Equal(Selector.FlatKernelCode, _domain.State->Selectors[Selector.Cs]);
        Assert.Equal(Selector.FlatKernelData, _domain.State->Selectors[Selector.Ss]);
    }

    [Fact]
    public void DeliverException_WithEventsMasked_SavesMaskAndClearsInterruptFlag()
    {
        _domain.Vcpu.Info.UpcallMask = 1;

        TrapDelivery.DeliverException(_domain.Vcpu, new GuestException(GuestException.InvalidOpcode));

        ulong[] words = _domain.StackWords(7);
        Assert.Equal(0xe030 | (1UL << 32), words[3]);
        Assert.Equal(0UL, words[4] & RflagsBits.Interrupt);
    }

    [Fact]
    public void DeliverException_EntryWithoutMaskBit_LeavesMask()
    {
        _domain.Vcpu.Info.UpcallMask = 0;
        _domain.Vcpu.Traps.Set(new TrapInfo { Vector = 3, Flags = 3, Address = 0x9000 });

        TrapDelivery.DeliverException(_domain.Vcpu, new GuestException(GuestException.Breakpoint));

        Assert.Equal(0, _domain.Vcpu.Info.UpcallMask);
    }

    [Fact]
    public void DeliverException_PageFault_WritesAddressToMovedVcpuInfo()
    {
        _domain.Events.RegisterVcpuInfo(0, 0x30, 64);
        _domain.Vcpu.RefreshInfo();

        TrapDelivery.DeliverException(_domain.Vcpu, new GuestException(GuestException.PageFault, 6, 0xdead_beef));

        Assert.Equal(0xdead_beefUL, _domain.Read64(0x3_0000 + 64 + 16));
        Assert.Equal(6UL, _domain.StackWords(3)[2]);
    }

    [Fact]
    public void DeliverException_WithoutHandler_CrashesDomain()
    {
        _domain.Vcpu.Traps.Clear();

        TrapDelivery.DeliverException(_domain.Vcpu, new GuestException(GuestException.PageFault, 2, 0x1234));

        Assert.Equal(DomainOutcomeKind.Crash, _domain.Life.Outcome!.Kind);
        Assert.Contains("exception 14", _domain.Life.Outcome.Reason, StringComparison.Ordinal);
        Assert.Equal(0x1000UL, _domain.Life.Outcome.Registers!.Rip);
    }

    [Fact]
    public void DeliverException_StackNotWritable_CrashesDomain()
    {
        _domain.Processor.ReadOnly.Add(TestDomain.Stack - 0x1000);

        TrapDelivery.DeliverException(_domain.Vcpu, new GuestException(GuestException.InvalidOpcode));

        Assert.Contains("kernel stack", _domain.Life.Outcome!.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void DeliverPending_EventDue_EntersCallbackMaskedAndKeepsPending()
    {
        _domain.Vcpu.Info.UpcallMask = 0;
        _domain.Vcpu.Info.UpcallPending = 1;

        TrapDelivery.DeliverPending(_domain.Vcpu);

        Assert.Equal(TestDomain.EventHandler, _domain.State->Rip);
        Assert.Equal(1, _domain.Vcpu.Info.UpcallMask);
        Assert.Equal(1, _domain.Vcpu.Info.UpcallPending);
        Assert.Equal(0xe030UL, _domain.StackWords(7)[3]);
    }

    [Fact]
    public void DeliverPending_EventsMasked_DoesNothing()
    {
        _domain.Vcpu.Info.UpcallMask = 1;
        _domain.Vcpu.Info.UpcallPending = 1;

        TrapDelivery.DeliverPending(_domain.Vcpu);

        Assert.Equal(0x1000UL, _domain.State->Rip);
    }

    [Fact]
    public void DeliverPending_NmiAndEvent_EntersNmiAndMasksFurtherOnes()
    {
        _domain.Vcpu.Info.UpcallMask = 0;
        _domain.Vcpu.Info.UpcallPending = 1;
        _domain.Vcpu.NmiPending = true;

        TrapDelivery.DeliverPending(_domain.Vcpu);
        _domain.Vcpu.NmiPending = true;
        TrapDelivery.DeliverPending(_domain.Vcpu);

        Assert.Equal(TestDomain.HandlerOf(2), _domain.State->Rip);
        Assert.True(_domain.Vcpu.NmiPending);
    }

    [Fact]
    public void OnSyscall_FromUser_BouncesWithRipAndFlagsInRcxAndR11Slots()
    {
        _domain.EnterUserMode();
        _domain.State->Rip = 0x40_0002;
        _domain.State->Rsp = 0x6008;
        _domain.State->Rax = 39;
        _domain.State->Rflags = RflagsBits.Carry | RflagsBits.Direction;
        _domain.Vcpu.Info.UpcallMask = 0;

        _domain.Exits.OnSyscall();

        ulong flags = RflagsBits.Carry | RflagsBits.Direction | RflagsBits.Always;
        Assert.Equal([0x40_0002, flags, 0x40_0002, 0xe033, flags, 0x6008, 0xe02b], _domain.StackWords(7));
        Assert.Equal(TestDomain.SyscallHandler, _domain.State->Rip);
        Assert.Equal(39UL, _domain.State->Rax);
        Assert.Equal(1, _domain.Vcpu.Info.UpcallMask);
        Assert.Equal(0UL, _domain.State->Rflags & RflagsBits.Direction);
    }

    [Fact]
    public void OnSyscall_FromUserWithoutCallback_RaisesInvalidOpcodeAtInstruction()
    {
        _domain.Vcpu.SyscallCallback = default;
        _domain.EnterUserMode();
        _domain.State->Rip = 0x40_0002;

        _domain.Exits.OnSyscall();

        Assert.Equal(TestDomain.HandlerOf(6), _domain.State->Rip);
        Assert.Equal(0x40_0000UL, _domain.StackWords(3)[2]);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(8, true)]
    [InlineData(9, false)]
    [InlineData(13, true)]
    [InlineData(14, true)]
    [InlineData(15, false)]
    [InlineData(17, true)]
    [InlineData(21, true)]
    [InlineData(30, true)]
    [InlineData(0x80, false)]
    public void HasErrorCode_Vector_IsAsOnHardware(byte vector, bool expected) =>
        Assert.Equal(expected, TrapTable.HasErrorCode(vector));
}
