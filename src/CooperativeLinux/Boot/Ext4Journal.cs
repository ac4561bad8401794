using System.Buffers.Binary;

namespace CooperativeLinux.Boot;

/// <summary>
/// The transactions of a jbd2 journal that are complete but not replayed: which blocks of the file system have newer
/// contents there.
/// </summary>
/// <remarks>Layout: Documentation/filesystems/ext4/journal.rst of the kernel's sources; big-endian.</remarks>
internal sealed class Ext4Journal
{
    private const uint Magic = 0xC03B3998;
    private const uint Descriptor = 1, Commit = 2, Revocation = 5;
    private const uint SixtyFourBit = 0x2, ChecksumV2 = 0x8, ChecksumV3 = 0x10, FastCommit = 0x20;
    private const uint Escaped = 1, SameUuid = 2, Last = 8;
    private const int HeaderSize = 12, UuidSize = 16;

    private readonly int _blockSize;
    private readonly Action<ulong, byte[]> _read;
    private readonly Dictionary<ulong, (ulong Place, bool IsEscaped)> _newer = [];
    private readonly uint _features;
    private readonly ulong _first;
    private readonly ulong _end;

    /// <param name="blockSize">Bytes in a block.</param>
    /// <param name="blocks">Blocks of the journal.</param>
    /// <param name="read">Reads a block of the journal by its number in it.</param>
    /// <exception cref="InvalidDataException">It is no journal.</exception>
    public Ext4Journal(int blockSize, ulong blocks, Action<ulong, byte[]> read)
    {
        _blockSize = blockSize;
        _read = read;
        byte[] super = new byte[blockSize];
        read(0, super);
        _features = U32(super, 0x28);
        uint fastBlocks = (_features & FastCommit) == 0 ? 0 : U32(super, 0x54) is uint count and not 0 ? count : 256;
        _first = U32(super, 0x14);
        _end = Math.Min(U32(super, 0x10), blocks);
        if (U32(super, 0) != Magic || U32(super, 0xC) != blockSize || fastBlocks >= _end || _first == 0 || _first >= _end - fastBlocks)
        {
            throw new InvalidDataException("its ext4 file system is damaged: the journal makes no sense");
        }

        _end -= fastBlocks;
        ulong start = U32(super, 0x1C);
        if (start >= _first && start < _end)
        {
            Scan(start, U32(super, 0x18));
        }
    }

    /// <summary>Reads the newest content of a block of the file system, if the journal has it.</summary>
    public bool TryRead(ulong block, Span<byte> destination)
    {
        if (!_newer.TryGetValue(block, out (ulong Place, bool IsEscaped) newer))
        {
            return false;
        }

        byte[] content = new byte[_blockSize];
        _read(newer.Place, content);
        if (newer.IsEscaped)
        {
            BinaryPrimitives.WriteUInt32BigEndian(content, Magic);
        }

        content.CopyTo(destination);
        return true;
    }

    private static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32BigEndian(bytes[offset..]);

    /// <summary>Goes through the log. What a transaction holds counts when its commit block is met.</summary>
    private void Scan(ulong position, uint sequence)
    {
        List<(ulong Block, ulong Place, bool IsEscaped, uint Sequence)> written = [];
        Dictionary<ulong, uint> revoked = [];
        List<(ulong Block, ulong Place, bool IsEscaped)> open = [];
        List<ulong> openRevoked = [];
        byte[] block = new byte[_blockSize];

        // Each block of the log is looked at once at most.
        for (ulong seen = 0; seen < _end - _first; seen++)
        {
            _read(position, block);
            if (U32(block, 0) != Magic || U32(block, 8) != sequence)
            {
                break;
            }

            ulong header = position;
            position = Next(position);
            switch (U32(block, 4))
            {
                case Descriptor:
                    foreach ((ulong target, bool isEscaped) in Tags(block))
                    {
                        open.Add((target, position, isEscaped));
                        position = Next(position);
                        seen++;
                    }

                    break;
                case Revocation:
                    openRevoked.AddRange(Revoked(block));
                    break;
                case Commit:
                    written.AddRange(open.Select(entry => (entry.Block, entry.Place, entry.IsEscaped, sequence)));
                    openRevoked.ForEach(target => revoked[target] = sequence);
                    open.Clear();
                    openRevoked.Clear();
                    sequence++;
                    break;
                default:
                    throw new InvalidDataException($"its ext4 file system is damaged: block {header} of the journal is of no known kind");
            }
        }

        foreach ((ulong target, ulong place, bool isEscaped, uint writtenIn) in written)
        {
            // Sequence numbers wrap, so only their distance counts. What was revoked later, or in the same transaction, is void.
            if (!revoked.TryGetValue(target, out uint revokedIn) || (int)(revokedIn - writtenIn) < 0)
            {
                _newer[target] = (place, isEscaped);
            }
        }
    }

    private ulong Next(ulong position) => position + 1 < _end ? position + 1 : _first;

    /// <summary>The blocks of the file system whose contents follow a descriptor block.</summary>
    private List<(ulong Block, bool IsEscaped)> Tags(ReadOnlySpan<byte> block)
    {
        List<(ulong Block, bool IsEscaped)> tags = [];
        bool isV3 = (_features & ChecksumV3) != 0;
        bool is64 = (_features & SixtyFourBit) != 0;
        int size = isV3 ? 16 : 8 + (is64 ? 4 : 0) + ((_features & ChecksumV2) != 0 ? 2 : 0);
        int end = block.Length - ((_features & (ChecksumV2 | ChecksumV3)) != 0 ? 4 : 0);
        for (int offset = HeaderSize; offset + size <= end;)
        {
            uint flags = isV3 ? U32(block, offset + 4) : BinaryPrimitives.ReadUInt16BigEndian(block[(offset + 6)..]);
            ulong high = is64 ? U32(block, offset + 8) : 0;
            tags.Add((U32(block, offset) | (high << 32), (flags & Escaped) != 0));
            offset += size + ((flags & SameUuid) == 0 ? UuidSize : 0);
            if ((flags & Last) != 0)
            {
                break;
            }
        }

        return tags;
    }

    private List<ulong> Revoked(ReadOnlySpan<byte> block)
    {
        const int RecordsOffset = 16;
        List<ulong> revoked = [];
        bool is64 = (_features & SixtyFourBit) != 0;
        int size = is64 ? 8 : 4;
        int end = (int)Math.Min(U32(block, HeaderSize), (uint)block.Length);
        for (int offset = RecordsOffset; offset + size <= end; offset += size)
        {
            revoked.Add(is64 ? BinaryPrimitives.ReadUInt64BigEndian(block[offset..]) : U32(block, offset));
        }

        return revoked;
    }
}
