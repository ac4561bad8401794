using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Tests.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Traps;

public sealed unsafe class InterruptReturnTests : IDisposable
{
    private readonly TestDomain _domain = new();

    public InterruptReturnTests() => _domain.InstallTraps();

    public void Dispose() => _domain.Dispose();

    [Fact]
    public void Iret_ToUser_LoadsFrameSwapsGsAndUnmasksEvents()
    {
        _domain.State->GsBase = 0x1111;
        _domain.Vcpu.InactiveGsBase = 0x2222;
        _domain.Vcpu.NmiMasked = true;
        PushFrame(cs: 0x33 | (1UL << 32), rflags: RflagsBits.Interrupt | RflagsBits.Carry | 0x3000, rip: 0x40_0000, rsp: 0x6000, ss: 0x2b);

        Iret();

        Assert.Equal(1u, _domain.State->UserMode);
        Assert.Equal(0x40_0000UL, _domain.State->Rip);
        Assert.Equal(0x6000UL, _domain.State->Rsp);
        Assert.Equal(0xaaUL, _domain.State->Rax);
        Assert.Equal(0xbbUL, _domain.State->R11);
        Assert.Equal(0xccUL, _domain.State->Rcx);
        Assert.Equal(RflagsBits.Carry | RflagsBits.Always, _domain.State->Rflags);
        Assert.Equal(0x2222UL, _domain.State->GsBase);
        Assert.Equal(0, _domain.Vcpu.Info.UpcallMask);
        Assert.False(_domain.Vcpu.NmiMasked);
        Assert.Equal(0x33, _domain.State->Selectors[Selector.Cs]);
    }

    [Fact]
    public void Iret_KernelFrame_StaysInKernelAndForcesRpl()
    {
        PushFrame(cs: 0xe030, rflags: 0, rip: 0x3000, rsp: 0x7000, ss: 0xe028);

        Iret();

        Assert.Equal(0u, _domain.State->UserMode);
        Assert.Equal(Selector.FlatKernelCode, _domain.State->Selectors[Selector.Cs]);
        Assert.Equal(Selector.FlatKernelData, _domain.State->Selectors[Selector.Ss]);
        Assert.Equal(1, _domain.Vcpu.Info.UpcallMask);
    }

    [Fact]
    public void Iret_WithEventPending_DeliversItAfterwards()
    {
        _domain.Vcpu.Info.UpcallPending = 1;
        PushFrame(cs: 0x33, rflags: RflagsBits.Interrupt, rip: 0x40_0000, rsp: 0x6000, ss: 0x2b);

        Iret();

        Assert.Equal(TestDomain.EventHandler, _domain.State->Rip);
        Assert.Equal(0x40_0000UL, _domain.StackWords(3)[2]);
        Assert.Equal(0x33UL, _domain.StackWords(4)[3]);
    }

    [Fact]
    public void Iret_ToUserWithoutUserTables_CrashesDomain()
    {
        _domain.Vcpu.SetUserRoot(0);
        PushFrame(cs: 0x33, rflags: 0, rip: 0, rsp: 0, ss: 0x2b);

        Iret();

        Assert.Equal(DomainOutcomeKind.Crash, _domain.Life.Outcome!.Kind);
        Assert.Equal(1, _domain.Processor.Stops);
    }

    [Fact]
    public void Iret_FrameNotReadable_CrashesDomain()
    {
        _domain.State->Rsp = 0xffff_ffff_0000;

        Iret();

        Assert.Equal(DomainOutcomeKind.Crash, _domain.Life.Outcome!.Kind);
    }

    [Theory]
    [InlineData(0x23, 0x40_0000UL)]
    [InlineData(0x33, 0x8000_0000_0000_0000UL)]
    public void Iret_ToBadContext_EntersFailsafeWithLiveDataSelectors(ushort cs, ulong rip)
    {
        _domain.State->Selectors[Selector.Ds] = 0x2b;
        PushFrame(cs, RflagsBits.Interrupt, rip, 0x6000, 0x2b);

        Iret();

        // rcx, r11, ds, es, fs, gs, rip, cs
        ulong[] words = _domain.StackWords(8);
        Assert.Equal(TestDomain.FailsafeHandler, _domain.State->Rip);
        Assert.Equal(0x2bUL, words[2]);
        Assert.Equal(rip, words[6]);
        Assert.Equal(cs, words[7]);
        Assert.Equal(0u, _domain.State->UserMode);
        Assert.Equal(TestDomain.KernelStack - 88, _domain.State->Rsp + 0);
    }

    private void Iret()
    {
        _domain.State->Rax = HypercallNumber.Iret;
        _domain.Exits.OnSyscall();
    }

    private void PushFrame(ulong cs, ulong rflags, ulong rip, ulong rsp, ulong ss)
    {
        ulong[] frame = [0xaa, 0xbb, 0xcc, 0, rip, cs, rflags, rsp, ss];
        _domain.State->Rsp = TestDomain.Stack - 72;
        for (int i = 0; i < frame.Length; i++)
        {
            _domain.Write(_domain.State->Rsp + ((ulong)i * 8), frame[i]);
        }
    }
}
