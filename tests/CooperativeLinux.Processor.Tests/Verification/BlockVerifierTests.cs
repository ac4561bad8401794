using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Execution;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Verification;

public sealed unsafe class BlockVerifierTests
{
    [Fact]
    public void Verify_RandomBytes_NoObjections()
    {
        GuestCodeGenerator generator = new(1);
        int blocks = 0;
        HashSet<string> objections = [];
        for (int round = 0; round < 20; round++)
        {
            using VerifiedMachine machine = new();
            for (int i = 0; i < 100; i++)
            {
                foreach (Block block in machine.Translate(generator.Noise(512), i * 400))
                {
                    blocks++;
                    if (machine.Objections(block) is string objection)
                    {
                        objections.Add(objection);
                    }
                }
            }
        }

        Assert.True(objections.Count == 0, $"{objections.Count} objections:\n{string.Join('\n', objections.Take(20))}");
        Assert.True(blocks > 11_000, $"{blocks} blocks");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(24)]
    public void Verify_RandomInstructions_NoObjections(int length)
    {
        GuestCodeGenerator generator = new(length);
        HashSet<string> objections = [];
        for (int round = 0; round < 10; round++)
        {
            using VerifiedMachine machine = new();
            for (int i = 0; i < 150; i++)
            {
                foreach (Block block in machine.Translate(generator.Sequence(length), i * 400))
                {
                    string? objection = machine.Objections(block);
                    if (objection != null)
                    {
                        objections.Add(objection);
                    }
                }
            }
        }

        Assert.True(objections.Count == 0, $"{objections.Count} objections:\n{string.Join('\n', objections.Take(20))}");
    }
}
