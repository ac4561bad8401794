using System.Buffers.Binary;
using System.Text;

namespace CooperativeLinux.Boot;

/// <summary>
/// Reads files of an ext4 file system on a whole disk, to find the kernel that a machine boots. What is in a journal that
/// has not been replayed counts, so that a machine that was cut off boots what its file system will be. Nothing is written, and
/// nothing on the disk is trusted. Not thread-safe.
/// </summary>
/// <remarks>Layout: Documentation/filesystems/ext4 of the kernel's sources. Files with extents only, which is all that
/// mke2fs -t ext4 makes.</remarks>
internal sealed class Ext4Volume
{
    private const int SuperblockOffset = 1024, SuperblockSize = 1024, Magic = 0xEF53;
    private const uint RootInode = 2;
    private const int MaxBlockSize = 1 << 16, MaxLinks = 40, MaxDepth = 5, MaxDirectory = 64 << 20;
    private const uint NeedsRecovery = 0x4, SixtyFourBit = 0x80;

    // FILETYPE, RECOVER, EXTENTS, 64BIT, MMP, FLEX_BG, EA_INODE, CSUM_SEED, LARGEDIR; META_BG, INLINE_DATA and others are not.
    private const uint Understood = 0x2 | NeedsRecovery | 0x40 | SixtyFourBit | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000;

    private readonly DiskReader _disk;
    private readonly int _blockSize;
    private readonly uint _inodeCount;
    private readonly uint _inodesPerGroup;
    private readonly int _inodeSize;
    private readonly int _descriptorSize;
    private readonly long _descriptors;
    private readonly Ext4Journal? _journal;

    /// <param name="disk">The disk.</param>
    /// <exception cref="InvalidDataException">There is no ext4 file system that can be read; the message says why.</exception>
    /// <exception cref="IOException">The host cannot read the disk.</exception>
    public Ext4Volume(DiskReader disk)
    {
        _disk = disk;
        byte[] super = new byte[SuperblockSize];
        if (disk.Length < SuperblockOffset + SuperblockSize)
        {
            throw new InvalidDataException("it has no ext4 file system");
        }

        disk.Read(SuperblockOffset, super);
        uint features = U32(super, 0x60);
        int shift = (int)Math.Min(U32(super, 0x18), 30);
        if (U16(super, 0x38) != Magic)
        {
            throw new InvalidDataException("it has no ext4 file system (one with partitions does not help: the file system must fill the disk)");
        }

        if ((features & ~Understood) != 0)
        {
            throw new InvalidDataException($"its ext4 file system has features that are not known here (0x{features & ~Understood:x})");
        }

        _blockSize = shift <= 6 ? 1024 << shift : 0;
        _inodeCount = U32(super, 0);
        _inodesPerGroup = U32(super, 0x28);
        _inodeSize = U32(super, 0x4C) == 0 ? 128 : U16(super, 0x58);
        _descriptorSize = (features & SixtyFourBit) != 0 ? U16(super, 0xFE) : 32;
        _descriptors = ((long)U32(super, 0x14) + 1) * _blockSize;
        if (_blockSize is 0 or > MaxBlockSize || _inodesPerGroup == 0 || _inodeSize is < 128 or > 4096 || _descriptorSize is < 32 or > 1024)
        {
            throw new InvalidDataException("its ext4 file system is damaged: the superblock makes no sense");
        }

        uint journalInode = U32(super, 0xE0);
        if ((features & NeedsRecovery) != 0 && journalInode != 0)
        {
            Inode journal = ReadInode(journalInode);
            _journal = new Ext4Journal(
                _blockSize, (ulong)journal.Size / (uint)_blockSize, (logical, block) => ReadPlain(MapBlock(journal, logical), block));
        }
    }

    /// <summary>Reads a file, all links followed.</summary>
    /// <param name="path">Its path, with slashes.</param>
    /// <param name="maxSize">The most bytes it may have.</param>
    /// <returns>Its content; null if there is no such file.</returns>
    /// <exception cref="InvalidDataException">The file system is damaged, or the file too large.</exception>
    /// <exception cref="IOException">The host cannot read the disk.</exception>
    public byte[]? ReadFile(string path, int maxSize)
    {
        if (Find(path) is not { IsRegular: true } inode)
        {
            return null;
        }

        return inode.Size <= maxSize
            ? ReadContent(inode)
            : throw new InvalidDataException($"{path} has {inode.Size} bytes, which is too much");
    }

    private static ushort U16(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[offset..]);

    private static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);

    private Inode? Find(string path)
    {
        Stack<string> rest = new(Names(path).Reverse());
        List<Inode> folders = [ReadInode(RootInode)];
        int links = 0;
        while (rest.TryPop(out string? name))
        {
            if (name == "..")
            {
                folders.RemoveRange(Math.Max(folders.Count - 1, 1), folders.Count > 1 ? 1 : 0);
                continue;
            }

            if (LookUp(folders[^1], name) is not { } number)
            {
                return null;
            }

            Inode inode = ReadInode(number);
            if (inode.IsLink)
            {
                if (++links > MaxLinks || inode.Size > 4096)
                {
                    return null;
                }

                string target = Encoding.UTF8.GetString(ReadContent(inode));
                if (target.StartsWith('/'))
                {
                    folders.RemoveRange(1, folders.Count - 1);
                }

                foreach (string part in Names(target).Reverse())
                {
                    rest.Push(part);
                }
            }
            else if (inode.IsDirectory)
            {
                folders.Add(inode);
            }
            else
            {
                return rest.Count == 0 ? inode : null;
            }
        }

        return folders[^1];

        static IEnumerable<string> Names(string path) => path.Split('/').Where(name => name is not ("" or "."));
    }

    private uint? LookUp(Inode folder, string name)
    {
        if (folder.Size > MaxDirectory)
        {
            throw new InvalidDataException("its ext4 file system has a folder that is too large");
        }

        // Index blocks of a hashed folder look like empty entries here.
        ReadOnlySpan<byte> wanted = Encoding.UTF8.GetBytes(name);
        ReadOnlySpan<byte> content = ReadContent(folder);
        for (int offset = 0; offset + 8 <= content.Length;)
        {
            ReadOnlySpan<byte> entry = content[offset..];
            int length = U16(entry, 4);
            int nameLength = entry[6];
            if (length < 8 || length % 4 != 0 || length > entry.Length || nameLength > length - 8)
            {
                throw new InvalidDataException("its ext4 file system is damaged: a folder makes no sense");
            }

            if (U32(entry, 0) is uint number and not 0 && entry.Slice(8, nameLength).SequenceEqual(wanted))
            {
                return number;
            }

            offset += length;
        }

        return null;
    }

    private byte[] ReadContent(Inode inode)
    {
        if (inode.IsLink && !inode.HasExtents && inode.Size <= Inode.MapSize)
        {
            return inode.Map[..(int)inode.Size];
        }

        byte[] content = new byte[inode.Size];
        byte[] block = new byte[_blockSize];
        for (long offset = 0; offset < inode.Size; offset += _blockSize)
        {
            ReadBlock(MapBlock(inode, (ulong)(offset / _blockSize)), block);
            block.AsSpan(0, (int)Math.Min(_blockSize, inode.Size - offset)).CopyTo(content.AsSpan((int)offset));
        }

        return content;
    }

    private Inode ReadInode(uint number)
    {
        if (number == 0 || number > _inodeCount)
        {
            throw new InvalidDataException($"its ext4 file system is damaged: there is no inode {number}");
        }

        // The parts are read through the blocks they lie in, of which the journal may have newer ones.
        uint group = (number - 1) / _inodesPerGroup;
        byte[] descriptor = new byte[_descriptorSize];
        ReadBytes(_descriptors + ((long)group * _descriptorSize), descriptor);
        ulong table = U32(descriptor, 8) | (_descriptorSize >= 64 ? (ulong)U32(descriptor, 0x28) << 32 : 0);
        if (table > (ulong)(_disk.Length / _blockSize))
        {
            throw new InvalidDataException("its ext4 file system is damaged: a group makes no sense");
        }

        byte[] raw = new byte[128];
        ReadBytes(((long)table * _blockSize) + ((long)((number - 1) % _inodesPerGroup) * _inodeSize), raw);
        return new Inode(raw);
    }

    /// <summary>The block that holds a block of a file; 0 where the file has a hole.</summary>
    private ulong MapBlock(Inode inode, ulong logical)
    {
        const int HeaderSize = 12, EntrySize = 12, HeaderMagic = 0xF30A;
        if (!inode.HasExtents)
        {
            throw new InvalidDataException("its ext4 file system has files without extents, which are not read here");
        }

        byte[] node = inode.Map;
        for (int level = 0; level <= MaxDepth; level++)
        {
            int entries = U16(node, 2);
            int depth = U16(node, 6);
            if (U16(node, 0) != HeaderMagic || HeaderSize + (entries * EntrySize) > node.Length)
            {
                break;
            }

            int best = -1;
            for (int i = 0; i < entries && U32(node, HeaderSize + (i * EntrySize)) <= logical; i++)
            {
                best = i;
            }

            if (best < 0)
            {
                return 0;
            }

            ReadOnlySpan<byte> entry = node.AsSpan(HeaderSize + (best * EntrySize), EntrySize);
            if (depth == 0)
            {
                // Lengths above 32768 mean that the extent is not initialised and reads as zeros.
                int length = U16(entry, 4);
                ulong within = logical - U32(entry, 0);
                bool isThere = length <= 0x8000 && within < (ulong)length;
                return isThere ? (U32(entry, 8) | ((ulong)U16(entry, 6) << 32)) + within : 0;
            }

            ulong child = U32(entry, 4) | ((ulong)U16(entry, 8) << 32);
            node = new byte[_blockSize];
            ReadBlock(child, node);
        }

        throw new InvalidDataException("its ext4 file system is damaged: the map of a file makes no sense");
    }

    private void ReadBytes(long offset, Span<byte> destination)
    {
        byte[] block = new byte[_blockSize];
        while (!destination.IsEmpty)
        {
            int skip = (int)(offset % _blockSize);
            ReadBlock((ulong)(offset / _blockSize), block);
            ReadOnlySpan<byte> part = block.AsSpan(skip, Math.Min(_blockSize - skip, destination.Length));
            part.CopyTo(destination);
            destination = destination[part.Length..];
            offset += part.Length;
        }
    }

    private void ReadBlock(ulong block, Span<byte> destination)
    {
        if (_journal is null || !_journal.TryRead(block, destination))
        {
            ReadPlain(block, destination);
        }
    }

    private void ReadPlain(ulong block, Span<byte> destination)
    {
        if (block == 0 && _blockSize > SuperblockOffset)
        {
            destination.Clear();
            return;
        }

        _disk.Read(block < long.MaxValue / MaxBlockSize ? (long)block * _blockSize : -1, destination);
    }

    /// <summary>The parts of an inode that are used here.</summary>
    private sealed class Inode(byte[] raw)
    {
        /// <summary>Bytes of the map.</summary>
        public const int MapSize = 60;

        private const int TypeMask = 0xF000, Directory = 0x4000, Regular = 0x8000, Link = 0xA000;
        private const uint Extents = 0x80000;

        public bool IsDirectory => (U16(raw, 0) & TypeMask) == Directory;

        public bool IsRegular => (U16(raw, 0) & TypeMask) == Regular;

        public bool IsLink => (U16(raw, 0) & TypeMask) == Link;

        public bool HasExtents => (U32(raw, 0x20) & Extents) != 0;

        public long Size => (long)Math.Min(U32(raw, 4) | ((ulong)U32(raw, 0x6C) << 32), long.MaxValue);

        /// <summary>The root of the extent tree, or a short link's target.</summary>
        public byte[] Map { get; } = raw[0x28..(0x28 + MapSize)];
    }
}
