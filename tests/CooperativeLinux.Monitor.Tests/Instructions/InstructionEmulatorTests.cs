using CooperativeLinux.Monitor.Instructions;
using CooperativeLinux.Monitor.Tests.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Instructions;

public sealed unsafe class InstructionEmulatorTests : IDisposable
{
    private const ulong Start = 0x1000, GsDescriptor = 0x12cf_f334_5678_9abc, UserCode64 = 0x00af_fb00_0000_ffff,
        UserCode32 = 0x00cf_fb00_0000_ffff, AbsentData = 0x00cf_7300_0000_ffff;

    private readonly TestDomain _domain = new();

    public InstructionEmulatorTests()
    {
        _domain.InstallTraps();
        _domain.Write(0x2_0000 + (2 * 8), UserCode64);
        _domain.Write(0x2_0000 + (4 * 8), UserCode32);
        _domain.Write(0x2_0000 + (5 * 8), 0x00cf_f300_0000_ffffUL);
        _domain.Write(0x2_0000 + (12 * 8), GsDescriptor);
        _domain.Write(0x2_0000 + (13 * 8), AbsentData);
        _domain.Write(0x2_0000 + (15 * 8), 0x0040_f500_0000_5003UL);
        _domain.Vcpu.Descriptors.SetGdt([0x20], 16);
    }

    public void Dispose() => _domain.Dispose();

    [Fact]
    public void Ud2_WithPrefixTail_IsCpuidOfSevenBytes()
    {
        _domain.State->Rax = 0x4000_0000;
        _domain.Memory.TryWrite(Start, [0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2]);

        _domain.Execute(0x0f, 0x0b);

        Assert.Equal(Start + 7, _domain.State->Rip);
        Assert.Equal(0x566e_6558UL, _domain.State->Rbx);
    }

    [Fact]
    public void Ud2_Alone_RaisesInvalidOpcodeAtIt()
    {
        _domain.Execute(0x0f, 0x0b);

        AssertRaised(GuestException.InvalidOpcode);
        Assert.Equal(Start, _domain.StackWords(3)[2]);
    }

    [Fact]
    public void Wrmsr_GsBaseBeforeAnyHandler_SetsBase()
    {
        _domain.Vcpu.Traps.Clear();
        _domain.State->Rcx = 0xc000_0101;
        _domain.State->Rax = 0x8300_0000;
        _domain.State->Rdx = 0xffff_ffff;

        _domain.Execute(0x0f, 0x30);

        Assert.Equal(0xffff_ffff_8300_0000UL, _domain.State->GsBase);
        Assert.Equal(Start + 2, _domain.State->Rip);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Rdmsr_Unknown_IsZeroOnlyBeforeHandlers(bool hasHandlers)
    {
        if (!hasHandlers)
        {
            _domain.Vcpu.Traps.Clear();
        }

        _domain.State->Rcx = 0x1234;
        _domain.State->Rax = 99;
        _domain.Execute(0x0f, 0x32);

        Assert.Equal(hasHandlers ? TestDomain.HandlerOf(13) : Start + 2, _domain.State->Rip);
        Assert.Equal(hasHandlers ? 99UL : 0UL, _domain.State->Rax);
    }

    [Theory]
    [InlineData(new byte[] { 0x0f, 0x32 })]
    [InlineData(new byte[] { 0x0f, 0x30 })]
    [InlineData(new byte[] { 0xe4, 0x60 })]
    [InlineData(new byte[] { 0xee })]
    [InlineData(new byte[] { 0x6c })]
    [InlineData(new byte[] { 0x6e })]
    [InlineData(new byte[] { 0xf4 })]
    [InlineData(new byte[] { 0xfa })]
    [InlineData(new byte[] { 0xfb })]
    [InlineData(new byte[] { 0x0f, 0x20, 0xe0 })]
    [InlineData(new byte[] { 0x0f, 0x21, 0xf8 })]
    [InlineData(new byte[] { 0x0f, 0x09 })]
    [InlineData(new byte[] { 0x0f, 0x06 })]
    [InlineData(new byte[] { 0x0f, 0x01, 0xf8 })]
    [InlineData(new byte[] { 0x0f, 0x01, 0xd1 })]
    [InlineData(new byte[] { 0x0f, 0x33 })]
    [InlineData(new byte[] { 0x48, 0x0f, 0x07 })]
    [InlineData(new byte[] { 0x0f, 0x34 })]
    [InlineData(new byte[] { 0x0f, 0x01, 0x3f })]
    public void Privileged_InUserMode_RaisesGeneralProtection(byte[] code)
    {
        _domain.EnterUserMode();

        _domain.Execute(code);

        AssertRaised(GuestException.GeneralProtection);
        Assert.Equal(0UL, _domain.StackWords(3)[2]);
    }

    [Theory]
    [InlineData(0x42, 0UL)]
    [InlineData(0x60, 0xffUL)]
    public void In_Port_GivesOnesExceptPit(byte port, ulong expected)
    {
        _domain.State->Rax = 0x1200;

        _domain.Execute(0xe4, port);

        Assert.Equal(0x1200 | expected, _domain.State->Rax);
    }

    [Fact]
    public void InString_LongCount_StopsForInterruptsAndGoesOn()
    {
        _domain.State->Rcx = 600;
        _domain.State->Rdi = 0x3_0000;

        _domain.Execute(0xf3, 0x6d);

        Assert.Equal(Start, _domain.State->Rip);
        Assert.Equal(88UL, _domain.State->Rcx);
        _domain.Execute(0xf3, 0x6d);
        Assert.Equal(Start + 2, _domain.State->Rip);
        Assert.Equal(0UL, _domain.State->Rcx);
        Assert.Equal(0x3_0000 + (600UL * 4), _domain.State->Rdi);
        Assert.Equal(uint.MaxValue, _domain.Read32(0x3_0000 + (599 * 4)));
    }

    [Fact]
    public void OutString_Repeated_OnlyMovesOn()
    {
        _domain.State->Rcx = 1UL << 60;
        _domain.State->Rsi = 0x100;

        _domain.Execute(0xf3, 0x6e);

        Assert.Equal(0UL, _domain.State->Rcx);
        Assert.Equal(0x100 + (1UL << 60), _domain.State->Rsi);
    }

    [Fact]
    public void MoveCr4_Write_TakesGuestOwnedBitsOnly()
    {
        _domain.State->Rax = ulong.MaxValue;

        _domain.Execute(0x0f, 0x22, 0xe0);
        _domain.Execute(0x0f, 0x20, 0xe1);

        const ulong Expected = 0x660 | 4 | 8 | (1 << 16) | (1 << 18);
        Assert.Equal(Expected, _domain.State->Rcx);
    }

    [Fact]
    public void MoveCr3_Write_IsRefused()
    {
        _domain.Execute(0x0f, 0x22, 0xd8);

        AssertRaised(GuestException.GeneralProtection);
    }

    [Fact]
    public void MoveCr0_Read_ShowsTaskSwitched()
    {
        _domain.Vcpu.TaskSwitched = true;

        _domain.Execute(0x0f, 0x20, 0xc0);

        Assert.Equal(0x8001_003bUL, _domain.State->Rax);
        _domain.Execute(0x0f, 0x06);
        Assert.False(_domain.Vcpu.TaskSwitched);
    }

    [Theory]
    [InlineData(1UL, true)]
    [InlineData(3UL, true)]
    [InlineData(7UL, true)]
    [InlineData(5UL, false)]
    [InlineData(6UL, false)]
    [InlineData(0xfUL, false)]
    [InlineData(0UL, false)]
    public void Xsetbv_Value_IsChecked(ulong value, bool isAllowed)
    {
        _domain.Vcpu.Cr4 |= ControlRegisters.Cr4OsXsave;
        _domain.State->Rax = value;

        _domain.Execute(0x0f, 0x01, 0xd1);

        Assert.Equal(isAllowed ? value : 1UL, _domain.Vcpu.Xcr0);
        Assert.Equal(isAllowed ? Start + 3 : TestDomain.HandlerOf(13), _domain.State->Rip);
    }

    [Fact]
    public void Xgetbv_WithoutOsXsave_IsInvalid()
    {
        _domain.Execute(0x0f, 0x01, 0xd0);

        AssertRaised(GuestException.InvalidOpcode);
    }

    [Fact]
    public void Iretq_InKernel_StaysInKernelWithoutTouchingMask()
    {
        _domain.Vcpu.Info.UpcallMask = 1;
        PushWords(0x3000, 0xe033, RflagsBits.Interrupt | RflagsBits.Zero, 0x7000, 0xe02b);

        _domain.Execute(0x48, 0xcf);

        Assert.Equal(0x3000UL, _domain.State->Rip);
        Assert.Equal(0x7000UL, _domain.State->Rsp);
        Assert.Equal(0u, _domain.State->UserMode);
        Assert.Equal(1, _domain.Vcpu.Info.UpcallMask);
        Assert.NotEqual(0UL, _domain.State->Rflags & RflagsBits.Zero);
    }

    [Fact]
    public void Iretq_To32BitCode_RaisesGeneralProtection()
    {
        _domain.EnterUserMode();
        PushWords(0x3000, 0x23, 0x202, 0x7000, 0x2b);

        _domain.Execute(0x48, 0xcf);

        AssertRaised(GuestException.GeneralProtection);
        Assert.Equal(0x20UL, _domain.StackWords(3)[2]);
    }

    [Fact]
    public void Retfq_Immediate_LoadsCodeSegmentAndReleasesStack()
    {
        PushWords(0x3000, 0x10);
        ulong rsp = _domain.State->Rsp;

        _domain.Execute(0x48, 0xca, 0x08, 0x00);

        Assert.Equal(0x3000UL, _domain.State->Rip);
        Assert.Equal(0x13, _domain.State->Selectors[Selector.Cs]);
        Assert.Equal(rsp + 24, _domain.State->Rsp);
    }

    [Fact]
    public void CallFar_Memory_PushesReturnAddress()
    {
        _domain.Write(0x3_0000, 0x5555UL);
        _domain.Write(0x3_0008, (ushort)0x10);
        _domain.State->Rbx = 0x3_0000;

        _domain.Execute(0x48, 0xff, 0x1b);

        Assert.Equal(0x5555UL, _domain.State->Rip);
        Assert.Equal([Start + 3, Selector.FlatKernelCode], _domain.StackWords(2));
    }

    [Fact]
    public void Retfq_StackUnreadable_RaisesPageFault()
    {
        _domain.Processor.Missing.Add(0x6_0000);
        _domain.EnterUserMode();
        _domain.State->Rsp = 0x6_0000;

        _domain.Execute(0x48, 0xcb);

        AssertRaised(GuestException.PageFault);
        Assert.Equal(0x6_0000UL, _domain.Vcpu.Info.Cr2);
    }

    [Fact]
    public void MoveToGs_Selector_LoadsBase()
    {
        _domain.State->Rax = 0x63;

        _domain.Execute(0x8e, 0xe8);

        Assert.Equal(0x1234_5678UL, _domain.State->GsBase);
        Assert.Equal(0x63, _domain.State->Selectors[Selector.Gs]);
        _domain.Execute(0x8c, 0xe9);
        Assert.Equal(0x63UL, _domain.State->Rcx);
    }

    [Fact]
    public void MoveToFs_Null_ZeroesBase()
    {
        _domain.State->FsBase = 0x1234;

        _domain.Execute(0x8e, 0xe0);

        Assert.Equal(0UL, _domain.State->FsBase);
    }

    [Theory]
    [InlineData(0xd8, 0x6b, GuestException.SegmentNotPresent, 0x68u)]
    [InlineData(0xd0, 0x6b, GuestException.StackFault, 0x68u)]
    [InlineData(0xd0, 0x00, GuestException.GeneralProtection, 0u)]
    [InlineData(0xd0, 0x10, GuestException.GeneralProtection, 0x10u)]
    [InlineData(0xd8, 0x83, GuestException.GeneralProtection, 0x80u)]
    [InlineData(0xd8, 0x07, GuestException.GeneralProtection, 0x04u)]
    public void MoveToSegment_BadSelector_Raises(byte modRm, ushort selector, byte vector, uint errorCode)
    {
        _domain.State->Rax = selector;

        _domain.Execute(0x8e, modRm);

        AssertRaised(vector);
        Assert.Equal(errorCode, _domain.StackWords(3)[2]);
    }

    [Fact]
    public void PopFs_Selector_LoadsBaseAndReleasesStack()
    {
        PushWords(0x63);
        ulong rsp = _domain.State->Rsp;

        _domain.Execute(0x0f, 0xa1);

        Assert.Equal(0x1234_5678UL, _domain.State->FsBase);
        Assert.Equal(rsp + 8, _domain.State->Rsp);
        _domain.Execute(0x0f, 0xa0);
        Assert.Equal(rsp, _domain.State->Rsp);
        Assert.Equal(0x63UL, _domain.Read64(rsp));
    }

    [Theory]
    [InlineData(0x7b, true, 0x5003UL)]
    [InlineData(0xfb, false, 0x77UL)]
    public void Lsl_Selector_GivesGuestLimit(ushort selector, bool isGood, ulong expected)
    {
        _domain.State->Rax = selector;
        _domain.State->Rcx = 0x77;
        _domain.EnterUserMode();

        _domain.Execute(0x0f, 0x03, 0xc8);

        Assert.Equal(expected, _domain.State->Rcx);
        Assert.Equal(isGood, (_domain.State->ArithmeticFlags & RflagsBits.Zero) != 0);
    }

    [Theory]
    [InlineData(0xe8, 0x2b, true)]
    [InlineData(0xe8, 0x13, false)]
    [InlineData(0xe0, 0x13, true)]
    [InlineData(0xe8, 0x00, false)]
    public void VerifySegment_Selector_SetsZeroFlag(byte modRm, ushort selector, bool expected)
    {
        _domain.State->Rax = selector;

        _domain.Execute(0x0f, 0x00, modRm);

        Assert.Equal(expected, (_domain.State->ArithmeticFlags & RflagsBits.Zero) != 0);
    }

    [Fact]
    public void FsGsBase_WithoutCr4Bit_IsInvalid()
    {
        _domain.Execute(0xf3, 0x48, 0x0f, 0xae, 0xc0);

        AssertRaised(GuestException.InvalidOpcode);
    }

    [Fact]
    public void FsGsBase_WriteAndRead_UseActiveBases()
    {
        _domain.Vcpu.Cr4 |= ControlRegisters.Cr4FsGsBase;
        _domain.State->Rax = 0x7fff_1234_5678;

        _domain.Execute(0xf3, 0x48, 0x0f, 0xae, 0xd0);
        _domain.Execute(0xf3, 0x0f, 0xae, 0xc1);

        Assert.Equal(0x7fff_1234_5678UL, _domain.State->FsBase);
        Assert.Equal(0x1234_5678UL, _domain.State->Rcx);
        _domain.State->Rax = 1UL << 50;
        _domain.Execute(0xf3, 0x48, 0x0f, 0xae, 0xd8);
        AssertRaised(GuestException.GeneralProtection);
    }

    [Theory]
    [InlineData(3, true)]
    [InlineData(2, false)]
    public void IntN_FromUser_NeedsDpl3(byte dpl, bool isAllowed)
    {
        _domain.Vcpu.Traps.Set(new TrapInfo { Vector = 0x80, Flags = (byte)(dpl | 4), Address = 0x7_0000 });
        _domain.EnterUserMode();

        _domain.Execute(0xcd, 0x80);

        Assert.Equal(isAllowed ? 0x7_0000UL : TestDomain.HandlerOf(13), _domain.State->Rip);
        Assert.Equal(isAllowed ? Start + 2 : 0x402UL, _domain.StackWords(3)[2]);
    }

    [Fact]
    public void StoreTables_InUserMode_GiveFixedValues()
    {
        _domain.EnterUserMode();
        _domain.State->Rdi = 0x3_0000;

        _domain.Execute(0x0f, 0x01, 0x07);

        Assert.Equal(0xffffUL, _domain.Read64(0x3_0000) & 0xffff);
        Assert.Equal(0xffff_8280_0000_0000UL, _domain.Read64(0x3_0002));
    }

    [Fact]
    public void Rdtscp_WithTsd_RaisesInUserModeOnly()
    {
        _domain.Vcpu.Cr4 |= ControlRegisters.Cr4Tsd;
        _domain.Vcpu.TscAux = 5;

        _domain.Execute(0x0f, 0x01, 0xf9);
        Assert.Equal(5UL, _domain.State->Rcx);
        _domain.EnterUserMode();
        _domain.Execute(0x0f, 0x01, 0xf9);
        AssertRaised(GuestException.GeneralProtection);
    }

    /// <summary>What prctl(PR_SET_TSC) does.</summary>
    [Fact]
    public void MoveCr4_WithTsd_HandsRdtscOverAndRefusesItInUserMode()
    {
        _domain.State->Rax = ControlRegisters.Cr4Tsd;
        _domain.Execute(0x0f, 0x22, 0xe0);
        Assert.True(_domain.Vcpu.Processor.HandsOverTimestamp);
        _domain.EnterUserMode();
        _domain.Execute(0x0f, 0x31);
        AssertRaised(GuestException.GeneralProtection);
    }

    [Fact]
    public void Rdtsc_WithoutTsd_ReadsTheCounter()
    {
        _domain.State->Rcx = 7;
        _domain.EnterUserMode();

        _domain.Execute(0x0f, 0x31);

        Assert.Equal(7UL, _domain.State->Rcx);
        Assert.NotEqual(0UL, _domain.State->Rax | _domain.State->Rdx);
    }

    [Fact]
    public void Hlt_InKernelWithEventDue_GoesOn()
    {
        _domain.Vcpu.Info.UpcallMask = 0;
        _domain.Vcpu.Info.UpcallPending = 1;

        _domain.Execute(0xf4);

        Assert.Equal(Start + 1, _domain.State->Rip);
    }

    [Fact]
    public void Invlpg_InKernel_FlushesPage()
    {
        _domain.State->Rdi = 0x1234_5000;

        _domain.Execute(0x0f, 0x01, 0x3f);

        Assert.Equal(["page 12345000"], _domain.Processor.Calls);
    }

    private void AssertRaised(byte vector) => Assert.Equal(TestDomain.HandlerOf(vector), _domain.State->Rip);

    private void PushWords(params ReadOnlySpan<ulong> words)
    {
        _domain.State->Rsp -= (ulong)words.Length * 8;
        for (int i = 0; i < words.Length; i++)
        {
            _domain.Write(_domain.State->Rsp + ((ulong)i * 8), words[i]);
        }
    }
}
