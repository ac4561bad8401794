using CooperativeLinux.Processor.Tests.Oracle;
using CooperativeLinux.Processor.Tests.Translated;

namespace CooperativeLinux.Processor.Tests;

/// <summary>What the processor hands to its environment, and what it refuses.</summary>
public sealed class ContractTests(NativeRunnerFixture fixture)
{
    private const ulong Code = TestLayout.High + (TestLayout.CodeFirst * TestLayout.PageSize) + 0x123;
    private const int Rcx = 1, Rsp = 4, R11 = 11;

    /// <summary>Encodings that no processor without AVX-512 and in 64-bit mode has.</summary>
    public static TheoryData<string> Undefined =>
    [
        "06", "07", "0e", "16", "17", "1e", "1f", "27", "2f", "37", "3f", "60", "61", "82c001", "9a0000000000", "ce", "d4", "d5", "d6", "ea00000000",
        "0f04", "0f0a", "0f0b", "0fff00", "0f24c0", "c6c801", "c7c800000000", "fec8f0", "fed0", "fff8", "8fc8c0", "f090", "f0f3a4", "f001c8", "f08b00", "f0ff10",
        "66c5f858c0", "f2c5f858c0", "f3c5f858c0", "f0c5f858c0", "40c5f858c0", "c5f8ff", "c4e07858c0", "c4e3790001",
        "0fa604", "0fa704", "0fb900", "0fb9c0", "660fb904b5", "480fb9c8", "0f7800", "0f7900", "0fc7c0", "0fc7d0", "0faeff00", "0fc7c8", "8ec8", "d9d1", "d9e2", "dbe5", "dfe1", "def8f0",
    ];

    /// <summary>Instructions the environment carries out.</summary>
    public static TheoryData<string> System =>
    [
        "0fa2", "0f32", "0f30", "e420", "ec", "ed", "66ed", "e620", "ee", "ef", "6c", "6d", "6e", "6f", "f36c", "f36e", "f4", "fa", "fb", "0f20c0", "0f22d8", "440f20c0", "0f21f8", "0f23f8",
        "0f0110", "0f0118", "0f00d0", "0f00d8", "0f0100", "0f0108", "0f00c0", "0f00c8", "0f01e0", "0f01f0", "0f06", "0f02c1", "0f03c1", "0f00e0", "0f00e8", "0f0138", "0f08", "0f09",
        "0f33", "0f01f9", "f30fc7f8", "0f01d0", "0f01d1", "0f01f8", "480f07", "0f07", "0f34", "0f35", "480f35", "48cf", "cf", "cb", "ca0800", "48cb", "ff18", "ff28", "48ff28",
        "8ed8", "8ee0", "8ee8", "0fa1", "0fa9", "cd80", "f1", "f3480faec0", "f3480faec8", "f3480faed0", "f3480faed8", "0f0b", "0fb200", "0fb400", "0fb500",
    ];

    [Theory]
    [MemberData(nameof(System))]
    public void SystemInstruction_IsHandedOver_WithUnchangedState(string hex)
    {
        using TranslatedRunner translated = new();
        TestState start = CreateState(hex), state = CreateState(hex);

        translated.Run(state);

        Assert.Null(translated.Failure);
        Assert.Equal(new Outcome(OutcomeKind.SystemInstruction), state.Outcome);
        Assert.Equal(start.Registers, state.Registers);
        Assert.Equal((start.Rip, start.Rflags), (state.Rip, state.Rflags));
        Assert.Equal(start.Memory, state.Memory);
    }

    [Theory]
    [MemberData(nameof(Undefined))]
    public void UndefinedInstruction_MatchesProcessor(string hex)
    {
        using TranslatedRunner translated = new();
        DifferentialTester tester = new(fixture.Oracle, translated);

        tester.Check(new TestCase { Name = hex, Start = CreateState(hex), CodeLength = hex.Length / 2, Tolerance = FaultTolerance.PageFaultFirst }, hex);

        Assert.True(tester.Passed || hex == "0f0b", tester.Summary());
    }

    [Fact]
    public void Syscall_IsHandedOver_BehindTheInstruction()
    {
        using TranslatedRunner translated = new();
        TestState start = CreateState("0f05"), state = CreateState("0f05");

        translated.Run(state);

        Assert.Equal(new Outcome(OutcomeKind.Syscall), state.Outcome);
        Assert.Equal(Code + 2, state.Rip);
        Assert.Equal((start.Registers[Rcx], start.Registers[R11]), (state.Registers[Rcx], state.Registers[R11]));
    }

    /// <summary>rsp and all pointers are good, so that nothing faults for another reason.</summary>
    private static TestState CreateState(string hex)
    {
        TestState state = new() { Rip = Code, Rflags = TestState.FixedFlags | 0x8D5 };
        TestLayout.CreatePattern().CopyTo(state.Memory, 0);
        for (int i = 0; i < 16; i++)
        {
            state.Registers[i] = TestLayout.High + (TestLayout.DataA * TestLayout.PageSize) + (ulong)(128 * i);
        }

        state.Registers[Rsp] = TestLayout.High + TestLayout.StackMiddle;
        state.Write(Code, Convert.FromHexString(hex));
        return state;
    }
}
