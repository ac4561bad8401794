using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Execution;
using CooperativeLinux.Processor.Verification;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>A machine whose code is translated and verified, but need not run. The memory of <see cref="FlatMachine"/> is also mapped
/// in the kernel half.</summary>
internal sealed class VerifiedMachine : IDisposable
{
    public const ulong KernelHalf = 0xFFFF_8000_0000_0000;

    public VerifiedMachine(ProcessorOptions? options = null)
    {
        Flat = new FlatMachine(options);
        Flat.Table(1, 256, 0x2000 | 7);
    }

    public FlatMachine Flat { get; }

    public Vcpu Cpu => Flat.Cpu;

    /// <summary>Translates code at an offset of the code area in each mode and variant.</summary>
    public IEnumerable<Block> Translate(byte[] code, int offset)
    {
        Flat.Memory.TryWrite(FlatMachine.Code + (ulong)offset, code);
        foreach (bool user in (bool[])[true, false])
        {
            ulong address = (user ? 0 : KernelHalf) + FlatMachine.Code + (ulong)offset;
            foreach (BlockVariant variant in (BlockVariant[])[BlockVariant.Normal, BlockVariant.NoStackWindow, BlockVariant.Careful])
            {
                Block? block = Cpu.TranslateOnly(address, user, variant);
                if (block != null)
                {
                    yield return block;
                }
            }
        }
    }

    /// <summary>What the verifier objects to in a block, with the guest code for the message.</summary>
    public string? Objections(Block block)
    {
        List<Violation> violations = [];
        Cpu.Verifier.Verify(block, Cpu.ExpectedPageId(block), violations);
        return violations.Count == 0 ? null : $"{block.Key.Variant} {(block.Key.User ? "user" : "kernel")} [{GuestCode(block)}] {string.Join("; ", violations)}";
    }

    /// <summary>Whether the verifier accepts other bytes in place of the block's.</summary>
    public bool Accepts(Block block, ReadOnlySpan<byte> bytes) => Cpu.Verifier.Verify(block, Cpu.ExpectedPageId(block), bytes, []);

    public string GuestCode(Block block)
    {
        byte[] bytes = new byte[block.GuestLength];
        Flat.Memory.TryRead(block.Key.Physical, bytes);
        return Convert.ToHexString(bytes);
    }

    public void Dispose() => Flat.Dispose();
}
