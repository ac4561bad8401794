using System.Runtime.CompilerServices;
using CooperativeLinux.Host.Faults;
using CooperativeLinux.Host.Memory;
using Xunit;

namespace CooperativeLinux.Host.Tests.Faults;

public sealed unsafe class FaultDoorTests
{
    private static readonly byte[] Load = [0x8B, 0x00];                 // mov eax, [rax]
    private static readonly byte[] Store = [0x89, 0x00];                // mov [rax], eax
    private static readonly byte[] AlignedLoad = [0x0F, 0x28, 0x00];    // movaps xmm0, [rax]
    private static readonly byte[] Divide = [0x31, 0xD2, 0x48, 0xF7, 0xF0]; // xor edx, edx; div rax
    private static readonly byte[] Undefined = [0x0F, 0x0B];            // ud2
    private static readonly byte[] Breakpoint = [0x90, 0xCC];           // nop; int3
    private static readonly byte[] Halt = [0xF4];                       // hlt

    // ldmxcsr [rax]; movss xmm0, [rax+4]; divss xmm0, [rax+8]
    private static readonly byte[] SseDivide = [0x0F, 0xAE, 0x10, 0xF3, 0x0F, 0x10, 0x40, 0x04, 0xF3, 0x0F, 0x5E, 0x40, 0x08];

    // fldcw [rax]; fld1; fldz; fdivp; fwait
    private static readonly byte[] X87Divide = [0xD9, 0x28, 0xD9, 0xE8, 0xD9, 0xEE, 0xDE, 0xF9, 0x9B];

    [Fact]
    public void Run_NoFault_RecordsNothing()
    {
        using FaultHarness harness = new(Load);

        bool faulted = harness.Run((ulong)harness.Memory.Data);

        Assert.False(faulted);
        Assert.Equal(FaultKind.None, harness.Record.Kind);
    }

    [Fact]
    public void Load_Guard_RecordsReadOfAddress()
    {
        using FaultHarness harness = new(Load);

        bool faulted = harness.Run((ulong)harness.Memory.Poison + 12);

        Assert.True(faulted);
        Assert.Equal(FaultKind.AccessViolation, harness.Record.Kind);
        Assert.Equal(FaultAccess.Read, harness.Record.Access);
        Assert.Equal((ulong)harness.Memory.Poison + 12, harness.Record.Address);
        Assert.Equal(0, harness.FaultOffset);
        Assert.NotEqual(0u, harness.Record.ErrorCode);
    }

    [Fact]
    public void Store_LastGuard_RecordsWriteOfAddress()
    {
        using FaultHarness harness = new(Store);
        ulong address = (ulong)(harness.Memory.Code + harness.Memory.CodeSize);

        bool faulted = harness.Run(address);

        Assert.True(faulted);
        Assert.Equal(FaultKind.AccessViolation, harness.Record.Kind);
        Assert.Equal(FaultAccess.Write, harness.Record.Access);
        Assert.Equal(address, harness.Record.Address);
    }

    [Fact]
    public void Store_ExecutableView_Faults()
    {
        using FaultHarness harness = new(Store);

        bool faulted = harness.Run((ulong)harness.Memory.Code);

        Assert.True(faulted);
        Assert.Equal(FaultAccess.Write, harness.Record.Access);
    }

    [Fact]
    public void Load_Null_RecordsAddressZero()
    {
        using FaultHarness harness = new(Load);

        bool faulted = harness.Run(0);

        Assert.True(faulted);
        Assert.Equal(FaultKind.AccessViolation, harness.Record.Kind);
        Assert.Equal(0UL, harness.Record.Address);
    }

    [Theory]
    [InlineData(0x8000_0000_0000_0000)]
    [InlineData(0x0000_8000_0000_0000)]
    [InlineData(0xFFFF_7FFF_FFFF_FFF8)]
    public void Load_NonCanonical_IsGeneralProtection(ulong address)
    {
        using FaultHarness harness = new(Load);

        bool faulted = harness.Run(address);

        Assert.True(faulted);
        Assert.Equal(FaultKind.GeneralProtection, harness.Record.Kind);
        Assert.Equal(FaultAccess.Unknown, harness.Record.Access);
        Assert.Equal(0UL, harness.Record.Address);
    }

    [Fact]
    public void Load_KernelHalf_IsAccessViolation()
    {
        using FaultHarness harness = new(Load);

        bool faulted = harness.Run(0xFFFF_8000_0000_1000);

        Assert.True(faulted);
        Assert.Equal(FaultKind.AccessViolation, harness.Record.Kind);
        Assert.Equal(0xFFFF_8000_0000_1000, harness.Record.Address);
    }

    [Fact]
    public void AlignedLoad_Misaligned_IsGeneralProtection()
    {
        using FaultHarness harness = new(AlignedLoad);

        bool faulted = harness.Run((ulong)harness.Memory.Data + 4);

        Assert.True(faulted);
        Assert.Equal(FaultKind.GeneralProtection, harness.Record.Kind);
    }

    [Fact]
    public void Divide_ByZero_IsArithmetic()
    {
        using FaultHarness harness = new(Divide);

        bool faulted = harness.Run(0);

        Assert.True(faulted);
        Assert.Equal(FaultKind.Arithmetic, harness.Record.Kind);
        Assert.Equal(2, harness.FaultOffset);
    }

    [Fact]
    public void Divide_QuotientTooLarge_IsArithmetic()
    {
        // mov edx, 7; div rax: the quotient 7 * 2^64 / 2 does not fit
        using FaultHarness harness = new(0xBA, 7, 0, 0, 0, 0x48, 0xF7, 0xF0);

        bool faulted = harness.Run(2);

        Assert.True(faulted);
        Assert.Equal(FaultKind.Arithmetic, harness.Record.Kind);
        Assert.Equal(5, harness.FaultOffset);
    }

    [Fact]
    public void SseDivide_Unmasked_IsFloatingPoint()
    {
        using FaultHarness harness = new(SseDivide);

        bool faulted = harness.Run(PrepareSse(harness));

        Assert.True(faulted);
        Assert.Equal(FaultKind.FloatingPoint, harness.Record.Kind);
        Assert.Equal(8, harness.FaultOffset);
        Assert.Equal(double.PositiveInfinity, DivideManaged(1, 0));
    }

    [Fact]
    public void X87Divide_Unmasked_IsFloatingPoint()
    {
        using FaultHarness harness = new(X87Divide);
        byte* argument = harness.Memory.Data + FaultHarness.ArgumentOffset;
        *(ushort*)argument = 0x37F & ~4; // zero-divide unmasked

        bool faulted = harness.Run((ulong)argument);

        Assert.True(faulted);
        Assert.Equal(FaultKind.FloatingPoint, harness.Record.Kind);
        Assert.Equal(8, harness.FaultOffset);
    }

    [Fact]
    public void Undefined_Executed_IsIllegalInstruction()
    {
        using FaultHarness harness = new(Undefined);

        bool faulted = harness.Run(0);

        Assert.True(faulted);
        Assert.Equal(FaultKind.IllegalInstruction, harness.Record.Kind);
        Assert.Equal(0, harness.FaultOffset);
    }

    [Fact]
    public void Breakpoint_Executed_IsTrapAtItsOwnAddress()
    {
        using FaultHarness harness = new(Breakpoint);

        bool faulted = harness.Run(0);

        Assert.True(faulted);
        Assert.Equal(FaultKind.Trap, harness.Record.Kind);
        Assert.Equal(1, harness.FaultOffset);
    }

    [Fact]
    public void Halt_InUserMode_IsGeneralProtection()
    {
        using FaultHarness harness = new(Halt);

        bool faulted = harness.Run(0);

        Assert.True(faulted);
        Assert.Equal(FaultKind.GeneralProtection, harness.Record.Kind);
    }

    [Fact]
    public void Load_Guard_LeavesRegistersAndFlags()
    {
        using FaultHarness harness = new(Load);

        harness.Run(0);

        const ulong Carry = 1;
        Assert.Equal(Carry, harness.Saved[0] & Carry);
        for (uint i = 1; i <= 6; i++)
        {
            Assert.Equal(FaultHarness.Pattern * i, harness.Saved[(int)i]);
        }

        Assert.Equal(FaultHarness.Pattern, harness.Saved[7]);
    }

    [Fact]
    public void Register_SecondRange_EachGoesToItsOwnRecord()
    {
        using FaultHarness first = new(Load);
        using FaultHarness second = new(Undefined);

        second.Run(0);
        first.Run(0);

        Assert.Equal(FaultKind.AccessViolation, first.Record.Kind);
        Assert.Equal(FaultKind.IllegalInstruction, second.Record.Kind);
    }

    [Fact]
    public void Register_MoreThanTheTableOverTime_ReusesEntries()
    {
        for (int i = 0; i < FaultDoor.MaxDoors + 10; i++)
        {
            using FaultHarness harness = new(Load);
            Assert.True(harness.Run(0));
        }
    }

    [Fact]
    public void Register_AddressesOutside_Throws()
    {
        using CodeMemory memory = CodeMemory.Create(4096, 4096);
        CodeMemory code = memory;

        Assert.Throws<ArgumentOutOfRangeException>("record", () => FaultDoor.Register(code, (FaultRecord*)code.Code, code.Code));
        Assert.Throws<ArgumentOutOfRangeException>("record", () => FaultDoor.Register(code, (FaultRecord*)(code.Code - 8), code.Code));
        Assert.Throws<ArgumentOutOfRangeException>("resumeAddress", () => FaultDoor.Register(code, (FaultRecord*)code.Data, code.CodeWritable));
    }

    [Fact]
    public void Run_OnManyThreadsUnderCollections_EveryFaultIsRecorded()
    {
        const int Rounds = 3000;
        using CancellationTokenSource stop = new();
        Thread collector = new(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                _ = new byte[1 << 16];
                GC.Collect(1);
                Thread.Yield();
            }
        });
        collector.Start();
        byte[][] snippets = [Load, Store, AlignedLoad, Divide, Undefined, Breakpoint, SseDivide];
        int[] missed = new int[snippets.Length];

        Thread[] threads = [.. snippets.Select((snippet, index) => new Thread(() =>
        {
            using FaultHarness harness = new(snippet);
            ulong argument = snippet == SseDivide ? PrepareSse(harness) : snippet == AlignedLoad ? (ulong)harness.Memory.Data + 4 : 0;
            for (int i = 0; i < Rounds; i++)
            {
                harness.Record = default;
                missed[index] += harness.Run(argument) && harness.Record.Kind != FaultKind.None ? 0 : 1;
                missed[index] += i % 64 == 0 && !CatchesNullReference() ? 1 : 0;
                missed[index] += i % 64 == 32 && !CatchesDivideByZero() ? 1 : 0;
            }
        }))];
        foreach (Thread thread in threads)
        {
            thread.Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        stop.Cancel();
        collector.Join();
        Assert.All(missed, count => Assert.Equal(0, count));
    }

    [Fact]
    public void NullReference_AfterRegistration_IsStillCaught()
    {
        using FaultHarness harness = new(Load);

        for (int i = 0; i < 200; i++)
        {
            Assert.True(CatchesNullReference());
        }
    }

    [Fact]
    public void DivideByZero_AfterRegistration_CatchBlockHasTheThreadsStack()
    {
        using FaultHarness harness = new(Load);

        for (int i = 0; i < 20; i++)
        {
            Assert.True(CatchesDivideByZero());
        }
    }

    private static ulong PrepareSse(FaultHarness harness)
    {
        byte* argument = harness.Memory.Data + FaultHarness.ArgumentOffset;
        *(uint*)argument = 0x1F80 & ~0x200u; // zero-divide unmasked
        *(float*)(argument + 4) = 1;
        *(float*)(argument + 8) = 0;
        return (ulong)argument;
    }

    private static bool CatchesNullReference()
    {
        try
        {
            _ = Length(null!);
            return false;
        }
        catch (NullReferenceException)
        {
            return UseStack(64);
        }
    }

    private static bool CatchesDivideByZero()
    {
        try
        {
            _ = Quotient(1, 0);
            return false;
        }
        catch (DivideByZeroException)
        {
            return UseStack(64); // 256 KiB: far more than an alternate signal stack
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool UseStack(int depth)
    {
        byte* page = stackalloc byte[4096];
        new Span<byte>(page, 4096).Fill((byte)depth);
        return depth == 0 || (UseStack(depth - 1) && page[4095] == (byte)depth);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Length(string text) => text.Length;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Quotient(int dividend, int divisor) => dividend / divisor;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static double DivideManaged(double dividend, double divisor) => dividend / divisor;
}
