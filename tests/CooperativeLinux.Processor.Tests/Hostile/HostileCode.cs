using System.Buffers.Binary;
using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Hostile;

/// <summary>Makes bytes that a confined machine should have trouble with: no care is taken that they mean anything.</summary>
internal static class HostileCode
{
    // Opcodes with a ModRM byte whose memory operand is read or written; an extension of -1 leaves the reg field to chance.
    private static readonly (byte[] Opcode, int Extension)[] _memoryForms =
    [
        ([0x01], -1), ([0x03], -1), ([0x89], -1), ([0x8B], -1), ([0x88], -1), ([0x8A], -1), ([0x87], -1), ([0x39], -1), ([0x63], -1),
        ([0xFF], 0), ([0xFF], 2), ([0xFF], 4), ([0xFF], 6), ([0x8F], 0), ([0xF7], 2), ([0xF7], 6), ([0xD3], -1), ([0xD1], -1), ([0x8D], -1),
        ([0x0F, 0xA3], -1), ([0x0F, 0xAB], -1), ([0x0F, 0xB3], -1), ([0x0F, 0xBB], -1),
        ([0x0F, 0xA3], -1), ([0x0F, 0xAB], -1), ([0x0F, 0xB3], -1), ([0x0F, 0xBB], -1),
        ([0x0F, 0xB1], -1), ([0x0F, 0xC1], -1), ([0x0F, 0xC7], 1), ([0x0F, 0xB6], -1), ([0x0F, 0xBF], -1), ([0x0F, 0xC3], -1),
        ([0x0F, 0xAE], 0), ([0x0F, 0xAE], 1), ([0x0F, 0xAE], 2), ([0x0F, 0xAE], 3), ([0x0F, 0xAE], 4), ([0x0F, 0xAE], 5), ([0x0F, 0xAE], 7),
        ([0xD9], 4), ([0xD9], 5), ([0xD9], 6), ([0xD9], 7), ([0xDD], 4), ([0xDD], 6), ([0xDD], 0), ([0xDD], 3), ([0xDB], 5), ([0xDB], 7), ([0xDF], 6),
        ([0x0F, 0x01], 0), ([0x0F, 0x01], 1), ([0x0F, 0x01], 4), ([0x0F, 0x00], 0), ([0x0F, 0x00], 1),
        ([0x0F, 0x10], -1), ([0x0F, 0x11], -1), ([0x0F, 0x28], -1), ([0x0F, 0x29], -1), ([0x0F, 0x2B], -1), ([0x0F, 0x6F], -1), ([0x0F, 0x7F], -1),
        ([0x0F, 0xE7], -1), ([0x0F, 0xF7], -1), ([0x0F, 0x18], -1), ([0x0F, 0x0D], -1), ([0x0F, 0x38, 0xF0], -1), ([0x0F, 0x38, 0xF1], -1),
    ];

    private static readonly byte[][] _plain =
    [
        [0x50], [0x53], [0x54], [0x5C], [0x58], [0x5B], [0xC9], [0xC3], [0xD7], [0x9C], [0x9D], [0xA4], [0xA5], [0xAA], [0xAB], [0xAC], [0xA6], [0xAE],
        [0xFC], [0xFD], [0xF5], [0x98], [0x99], [0xCC], [0x0F, 0x05], [0x0F, 0xA2], [0x0F, 0x31], [0x0F, 0x01, 0xF9], [0x0F, 0x0B], [0x90], [0xF4],
        [0x9B], [0xDB, 0xE3], [0xD9, 0xE8], [0xDE, 0xF9], [0xD9, 0xEE], [0x48, 0x94], [0x48, 0x87, 0xEC], [0x48, 0x89, 0xC4], [0x48, 0x89, 0xE8],
        [0xFF, 0xE0], [0xFF, 0xD0], [0xFF, 0xD3], [0xCF], [0x48, 0xCF], [0xCB], [0xFA], [0xFB], [0x0F, 0x06], [0x0F, 0x01, 0xD0], [0x0F, 0x77],
        [0xF3, 0x0F, 0xC7, 0xF8], [0xF3, 0x48, 0x0F, 0xAE, 0xD0], [0xF3, 0x48, 0x0F, 0xAE, 0xC3], [0x0F, 0x01, 0xD5], [0xC7, 0xF8, 0, 0, 0, 0],
    ];

    /// <summary>Fills a range with hostile instructions.</summary>
    public static void Fill(Span<byte> target, Rng rng)
    {
        int at = 0;
        Span<byte> one = stackalloc byte[32];
        while (at < target.Length)
        {
            int length = Instruction(one, rng);
            int part = Math.Min(length, target.Length - at);
            one[..part].CopyTo(target[at..]);
            at += part;
        }
    }

    private static int Instruction(Span<byte> to, Rng rng)
    {
        int at = 0;
        switch (rng.Below(16))
        {
            case 0:
                for (int count = rng.Between(1, 8); count > 0; count--)
                {
                    to[at++] = (byte)rng.Next();
                }

                return at;
            case 1 or 2:
                if (rng.Chance(3))
                {
                    to[at++] = rng.Chance(2) ? (byte)0xF3 : (byte)0xF2;
                }

                if (rng.Chance(3))
                {
                    to[at++] = (byte)(0x40 | rng.Below(16));
                }

                byte[] plain = rng.Pick<byte[]>(_plain);
                plain.CopyTo(to[at..]);
                return at + plain.Length;
            case 3:
                // Branches close by, and enter.
                to[at++] = rng.Pick<byte>([0xEB, 0x74, 0x75, 0xE2, 0xE3, 0xE8, 0xE9, 0xC8, 0xC2]);
                bool isWide = to[at - 1] is 0xE8 or 0xE9;
                int distance = rng.Between(-100, 100);
                if (isWide)
                {
                    BinaryPrimitives.WriteInt32LittleEndian(to[at..], rng.Chance(8) ? (int)rng.Next() : distance * 16);
                    return at + 4;
                }

                to[at++] = (byte)distance;
                to[at++] = rng.Chance(2) ? (byte)0 : (byte)rng.Next();
                to[at++] = (byte)rng.Below(32);
                return at;
            case 4:
                return Gather(to, rng);
            case 5:
                // mov register, something special; the stack and frame pointers more often.
                int register = rng.Chance(3) ? 4 : rng.Chance(3) ? 5 : rng.Below(16);
                to[at++] = (byte)(0x48 | (register >> 3));
                to[at++] = (byte)(0xB8 | (register & 7));
                BinaryPrimitives.WriteUInt64LittleEndian(to[at..], HostileMachine.GuestAddress(rng));
                return at + 8;
        }

        return MemoryForm(to, rng);
    }

    private static int MemoryForm(Span<byte> to, Rng rng)
    {
        int at = 0;
        if (rng.Chance(6))
        {
            to[at++] = rng.Pick<byte>([0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x64, 0x65, 0x2E]);
        }

        if (!rng.Chance(3))
        {
            to[at++] = (byte)(0x40 | rng.Below(16) | (rng.Chance(2) ? 8 : 0));
        }

        (byte[] opcode, int extension) = rng.Pick<(byte[], int)>(_memoryForms);
        opcode.CopyTo(to[at..]);
        at += opcode.Length;
        int reg = extension >= 0 ? extension : rng.Below(8);
        return at + Operand(to[at..], rng, reg);
    }

    private static int Operand(Span<byte> to, Rng rng, int reg, bool needsSib = false)
    {
        int at = 0;
        int mode = rng.Below(needsSib ? 3 : 4) & (rng.Chance(4) || needsSib ? 3 : 2);
        int rm = needsSib ? 4 : rng.Below(8);
        to[at++] = (byte)((mode << 6) | (reg << 3) | rm);
        bool isWideDisplacement = mode == 2 || (mode == 0 && rm == 5);
        if (mode != 3 && rm == 4)
        {
            byte sib = (byte)rng.Next();
            to[at++] = sib;
            isWideDisplacement |= mode == 0 && (sib & 7) == 5;
        }

        if (isWideDisplacement)
        {
            int displacement = rng.Below(4) switch
            {
                0 => rng.Between(-64, 64),
                1 => rng.Pick<int>([0, 4095, 4088, 4096, -4096, int.MinValue, int.MaxValue, int.MaxValue - 7, int.MinValue + 8]),
                2 => rng.Between(-65536, 65536),
                _ => (int)rng.Next(),
            };
            BinaryPrimitives.WriteInt32LittleEndian(to[at..], displacement);
            at += 4;
        }
        else if (mode == 1)
        {
            to[at++] = (byte)rng.Next();
        }

        return at;
    }

    // VEX.66.0F38 90..93 (gathers), 8C/8E (masked moves), 2C..2F.
    private static int Gather(Span<byte> to, Rng rng)
    {
        int at = 0;
        to[at++] = 0xC4;
        to[at++] = (byte)((rng.Below(8) << 5) | 2);
        to[at++] = (byte)((rng.Below(2) << 7) | (rng.Below(16) << 3) | (rng.Below(2) << 2) | 1);
        to[at++] = rng.Pick<byte>([0x90, 0x91, 0x92, 0x93, 0x90, 0x92, 0x8C, 0x8E, 0x2C, 0x2D, 0x2E, 0x2F]);
        return at + Operand(to[at..], rng, rng.Below(8), needsSib: true);
    }
}
