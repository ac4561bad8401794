using System.Buffers.Binary;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests;

/// <summary>The oracle itself: known instructions with results known from the manuals.</summary>
public sealed class NativeRunnerTests(NativeRunnerFixture fixture)
{
    private const ulong Code = TestLayout.High + (TestLayout.CodeFirst * TestLayout.PageSize);
    private const ulong DataA = TestLayout.High + (TestLayout.DataA * TestLayout.PageSize);
    private const int Rax = 0, Rcx = 1, Rsp = 4, R9 = 9;
    private const byte DivideError = 0, Breakpoint = 3, InvalidOpcode = 6, GeneralProtection = 13, PageFault = 14, SimdError = 19;

    [NativeFact]
    public void Run_Add_ChangesRegisterAndFlags()
    {
        TestState state = Run(c => c.add(rax, rcx), s => (s.Registers[Rax], s.Registers[Rcx]) = (ulong.MaxValue, 1));

        Assert.Equal(new Outcome(OutcomeKind.Exception, Breakpoint), state.Outcome);
        Assert.Equal(0ul, state.Registers[Rax]);
        Assert.Equal(0x202ul | 0x1 | 0x4 | 0x10 | 0x40, state.Rflags);
        Assert.Equal(Code + 4, state.Rip);
    }

    [NativeFact]
    public void Run_Push_WritesBelowStackPointer()
    {
        TestState state = Run(c => c.push(r9), s => s.Registers[R9] = 0x1234_5678_9ABC_DEF0);

        Assert.Equal(TestLayout.High + TestLayout.StackMiddle - 8, state.Registers[Rsp]);
        Assert.Equal(0x1234_5678_9ABC_DEF0ul, state.Read64(state.Registers[Rsp]));
    }

    [NativeTheory]
    [InlineData(0, 8, 4u, 0ul)]
    [InlineData(3, 8, 4u, 0ul)]
    [InlineData(2, 4092, 4u, 4096ul)]
    public void Run_ReadOfAbsentPage_ReportsPageFault(int page, int offset, uint error, ulong faultOffset)
    {
        ulong address = TestLayout.High + (ulong)((page * TestLayout.PageSize) + offset);
        TestState state = Run(c => c.mov(rcx, __qword_ptr[rax]), s => (s.Registers[Rax], s.Registers[Rcx]) = (address, 77));

        ulong expected = faultOffset == 0 ? address : TestLayout.High + ((ulong)page * TestLayout.PageSize) + faultOffset;
        Assert.Equal(new Outcome(OutcomeKind.Exception, PageFault, error, expected), state.Outcome);
        Assert.Equal(Code, state.Rip);
        Assert.Equal(77ul, state.Registers[Rcx]);
    }

    [NativeFact]
    public void Run_WriteToReadOnlyPage_ReportsProtectionFault()
    {
        ulong address = TestLayout.Low + (TestLayout.ReadOnlyC * TestLayout.PageSize) + 16;
        TestState state = Run(c => c.mov(__byte_ptr[rax], 1), s => s.Registers[Rax] = address);

        Assert.Equal(new Outcome(OutcomeKind.Exception, PageFault, 7, address), state.Outcome);
    }

    [NativeFact]
    public void Run_JumpToDataPage_ReportsFetchFault()
    {
        TestState state = Run(c => c.jmp(rax), s => s.Registers[Rax] = DataA);

        Assert.Equal(new Outcome(OutcomeKind.Exception, PageFault, 0x15, DataA), state.Outcome);
        Assert.Equal(DataA, state.Rip);
    }

    [NativeFact]
    public void Run_TwoViews_ShowTheSameMemory()
    {
        TestState state = Run(
            c =>
            {
                c.mov(__dword_ptr[rax], 0x55);
                c.mov(rcx, __qword_ptr[ecx + 4]);
            },
            s => (s.Registers[Rax], s.Registers[Rcx]) = (DataA, (TestLayout.High + 0x1000 - 4) | 0x77_0000_0000));

        Assert.Equal(0x55ul, state.Registers[Rcx] & 0xFFFF_FFFF);
    }

    [NativeFact]
    public void Run_DivideByZero_ReportsDivideError() =>
        Assert.Equal(new Outcome(OutcomeKind.Exception, DivideError), Run(c => c.div(rcx), s => s.Registers[Rcx] = 0).Outcome);

    [NativeFact]
    public void Run_Ud2_ReportsInvalidOpcode() =>
        Assert.Equal(new Outcome(OutcomeKind.Exception, InvalidOpcode), Run(c => c.ud2(), _ => { }).Outcome);

    [NativeFact]
    public void Run_NonCanonicalAddress_ReportsGeneralProtection() =>
        Assert.Equal(
            new Outcome(OutcomeKind.Exception, GeneralProtection),
            Run(c => c.mov(rax, __qword_ptr[rax]), s => s.Registers[Rax] = 0x8000_0000_0000_0000).Outcome);

    [NativeFact]
    public void Run_UnmaskedSimdError_IsReported() =>
        Assert.Equal(new Outcome(OutcomeKind.Exception, SimdError), Run(c => c.divss(xmm0, xmm1), s => s.Mxcsr = 0).Outcome);

    [NativeFact]
    public void Run_SegmentBases_AreApplied()
    {
        TestState state = Run(
            c =>
            {
                c.mov(rax, __qword_ptr.fs[rax]);
                c.mov(rcx, __qword_ptr.gs[rcx]);
            },
            s =>
            {
                (s.FsBase, s.GsBase, s.Registers[Rax], s.Registers[Rcx]) = (DataA, DataA - 8, 8, 24);
                s.Write64(DataA + 8, 0x1111);
                s.Write64(DataA + 16, 0x2222);
            });

        Assert.Equal((0x1111ul, 0x2222ul), (state.Registers[Rax], state.Registers[Rcx]));
    }

    [NativeFact]
    public void Run_Vectors_AreLoadedAndStored()
    {
        TestState state = Run(
            c =>
            {
                c.vpaddd(ymm15, ymm14, ymm13);
                c.pxor(xmm3, xmm3);
            },
            s => s.Vectors.AsSpan().Fill(1));

        Assert.All(state.Vectors[(15 * 32)..], b => Assert.Equal(2, b));
        Assert.All(state.Vectors[(3 * 32)..((3 * 32) + 16)], b => Assert.Equal(0, b));
        Assert.All(state.Vectors[((3 * 32) + 16)..(4 * 32)], b => Assert.Equal(1, b));
    }

    [NativeFact]
    public void Run_X87_IsLoadedAndStored()
    {
        TestState state = Run(
            c =>
            {
                c.fld1();
                c.fldpi();
            },
            s => s.UsesX87 = true);

        const int St0 = 32;
        Assert.Equal(0x3000, BinaryPrimitives.ReadUInt16LittleEndian(state.X87.AsSpan(2)) & 0x3800);
        Assert.Equal(0xC90F_DAA2_2168_C235, BinaryPrimitives.ReadUInt64LittleEndian(state.X87.AsSpan(St0)));
        Assert.Equal(0x8000_0000_0000_0000, BinaryPrimitives.ReadUInt64LittleEndian(state.X87.AsSpan(St0 + 16)));
    }

    [NativeFact]
    public void Run_EndlessLoop_IsStopped()
    {
        TestState state = Run(c => c.AddInstruction(Instruction.CreateBranch(Iced.Intel.Code.Jmp_rel8_64, Code)), _ => { });

        Assert.Equal(OutcomeKind.TimedOut, state.Outcome.Kind);
    }

    [NativeFact]
    public void Run_BadStackPointer_FaultsOnlyWhenUsed()
    {
        TestState state = Run(
            c =>
            {
                c.mov(rsp, rax);
                c.push(rax);
            },
            s => s.Registers[Rax] = 0x1000);

        Assert.Equal(new Outcome(OutcomeKind.Exception, PageFault, 6, 0xFF8), state.Outcome);
    }

    [NativeFact]
    public void Run_AfterFaults_NullReferencesStillWork()
    {
        Run(c => c.mov(rax, __qword_ptr[0]), _ => { });
        string? nothing = Environment.GetEnvironmentVariable("A variable nobody sets");

        Assert.Throws<NullReferenceException>(() => nothing!.Length);
    }

    [NativeFact]
    public async Task Run_UnderGarbageCollections_StaysCorrect()
    {
        using CancellationTokenSource stop = new();
        Task collector = Task.Run(
            () =>
            {
                while (!stop.IsCancellationRequested)
                {
                    GC.Collect(0);
                }
            },
            TestContext.Current.CancellationToken);

        for (int i = 0; i < 200; i++)
        {
            TestState state = Run(c => c.pushfq(), s => s.Registers[Rax] = 5);
            Assert.Equal(Breakpoint, state.Outcome.Vector);
            Assert.Equal(0x202ul, state.Read64(state.Registers[Rsp]));
        }

        await stop.CancelAsync();
        await collector;
    }

    private TestState Run(Action<Assembler> emit, Action<TestState> prepare)
    {
        Assembler assembler = new(64);
        emit(assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), Code);
        TestState state = new() { Rip = Code };
        TestLayout.CreatePattern().CopyTo(state.Memory, 0);
        state.Registers[Rsp] = TestLayout.High + TestLayout.StackMiddle;
        state.Write(Code, stream.ToArray());
        prepare(state);
        fixture.Runner.Run(state);
        return state;
    }
}
