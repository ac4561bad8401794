using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Memory;
using CooperativeLinux.Processor.Verification;

namespace CooperativeLinux.Processor.Execution;

// Checking emitted code with the independent verifier.
public sealed unsafe partial class Vcpu
{
    private readonly List<Violation> _violations = [];
    private BlockVerifier? _verifier;

    internal CodeCache Cache => _cache;

    internal Stubs Stubs => _stubs;

    internal BlockVerifier Verifier => _verifier ??=
        new BlockVerifier(_code.Code, _code.CodeSize, _code.Data, new StateFields((int)((byte*)_engine - _code.Data)), _stubs, _cache);

    /// <summary>Verifies all blocks as they are now, with their links, and the tables through which blocks are found.</summary>
    /// <returns>One line for each violation; none if all is well.</returns>
    internal IReadOnlyList<string> VerifyAll()
    {
        List<string> lines = [];
        Block? previous = null;
        foreach (Block block in _cache.Blocks)
        {
            if (previous != null && block.HostStart < previous.HostEnd)
            {
                lines.Add($"{Describe(block)} overlaps {Describe(previous)}");
            }

            previous = block;
            if (!block.Dropped)
            {
                _violations.Clear();
                Verifier.Verify(block, ExpectedPageId(block), _violations);
                lines.AddRange(_violations.Select(violation => $"{Describe(block)} {violation}"));
            }
        }

        VerifyTable(_kernelBranches, user: false, lines);
        VerifyTable(_noBranches, user: false, lines);
        foreach (TlbContext context in _mmu.Contexts)
        {
            VerifyTable(context.UserBranches, user: true, lines);
        }

        return lines;
    }

    /// <summary>Translates the block at an address without running it; null where the guest cannot fetch.</summary>
    internal Block? TranslateOnly(ulong address, bool user, BlockVariant variant)
    {
        if (!TryFetch(address, user, out byte* page, out ulong frame, out _))
        {
            return null;
        }

        BlockKey key = new((frame << 12) | (address & 0xFFF), address, user, variant);
        return _cache.Find(key) ?? Translate(key, page);
    }

    /// <summary>Bytes of a block on the host.</summary>
    internal ReadOnlySpan<byte> HostBytes(Block block) => new(_code.Code + block.HostStart, block.HostEnd - block.HostStart);

    internal ulong HostAddress(int codeOffset) => (ulong)(_code.Code + codeOffset);

    internal int DataOffset(ulong hostAddress) => (int)((long)hostAddress - (long)_code.Data);

    internal uint ExpectedPageId(Block block) => block.Key.User ? PageId(block.Key.Virtual & ~0xFFFUL, block.Frame) : 0;

    // Throws if a new block cannot be proved safe.
    private void Verify(Block block, uint pageId)
    {
        _violations.Clear();
        if (!Verifier.Verify(block, pageId, _violations))
        {
            _cache.Drop(block);
            throw new InvalidOperationException($"{Describe(block)}: {string.Join("; ", _violations)}");
        }

        Statistics.BlocksVerified++;
    }

    private static string Describe(Block block) => $"{(block.Key.User ? "User" : "Kernel")} block at {block.Key.Virtual:x} ({block.Key.Variant})";

    // Every entry leads to the indirect entry of a block for the table's mode, or to the stub for misses.
    private void VerifyTable(BranchTable table, bool user, List<string> lines)
    {
        foreach (nint entry in new ReadOnlySpan<nint>(table.Pointer, BranchTable.Entries))
        {
            int offset = (int)((byte*)entry - _code.Code);
            if (offset == _stubs.BranchMiss)
            {
                continue;
            }

            Block? block = _cache.FindByHostOffset(offset);
            if (block == null || block.Dropped || block.IndirectEntry != offset || block.Key.User != user)
            {
                lines.Add($"The branch table of {(user ? "user" : "kernel")} mode leads to +{offset:x}, which is no indirect entry of a block for it.");
            }
        }
    }
}
