using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Tests.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Hypercalls;

/// <summary>Random hypercalls with random structures: none may throw, hang or touch what is not the guest's.</summary>
public sealed unsafe class HostileHypercallTests
{
    private static readonly ulong[] _interesting =
    [
        0, 1, 2, 3, 7, 8, 0x7f, 0xfff, 0x1000, 0x7ff0, TestDomain.Scratch, TestDomain.Scratch + 0xff8, TestDomain.MemorySize - 8,
        TestDomain.MemorySize, uint.MaxValue, 1UL << 47, 0xffff_8000_0000_0000, ulong.MaxValue - 7, ulong.MaxValue, long.MaxValue,
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Dispatch_RandomCalls_AlwaysReturn(int seed)
    {
        Random random = new(seed);
        TestDomain domain = new(2);
        domain.InstallTraps();
        try
        {
            for (int i = 0; i < 20_000; i++)
            {
                if (domain.Life.HasEnded)
                {
                    domain.Dispose();
                    domain = new TestDomain(2);
                    domain.InstallTraps();
                }

                // Sleeping calls would sleep: something is always pending.
                domain.Vcpu.Info.UpcallMask = 0;
                domain.Vcpu.Info.UpcallPending = 1;
                FillScratch(domain, random);
                domain.State->Rax = (uint)random.Next(0, 58);
                domain.State->Rdi = Pick(random);
                domain.State->Rsi = Pick(random);
                domain.State->Rdx = Pick(random);
                domain.State->R10 = Pick(random);
                domain.State->R8 = Pick(random);
                domain.State->Rsp = random.Next(100) != 0 ? TestDomain.Stack : Pick(random);
                domain.State->UserMode = 0;
                domain.Vcpu.IsUp = true;
                domain.Exits.OnSyscall();
                domain.Processor.Calls.Clear();
            }
        }
        finally
        {
            domain.Dispose();
        }
    }

    private static ulong Pick(Random random) => random.Next(4) switch
    {
        0 => (ulong)random.Next(0, 32),
        1 => TestDomain.Scratch + (ulong)random.Next(0, 0x1000),
        2 => _interesting[random.Next(_interesting.Length)],
        _ => (ulong)random.NextInt64(),
    };

    private static void FillScratch(TestDomain domain, Random random)
    {
        for (int word = 0; word < 16; word++)
        {
            domain.Write(TestDomain.Scratch + ((ulong)random.Next(0, 512) * 8), Pick(random));
        }
    }
}
