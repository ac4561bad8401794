using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

// Masked moves and gathers: an element that is masked out is not accessed and cannot fault.
internal sealed unsafe partial class Interpreter
{
    private byte* Vector(Register register) => State->Vectors + (32 * register.GetNumber());

    private static bool IsMasked(byte* mask, int element, int size) => (mask[((element + 1) * size) - 1] & 0x80) == 0;

    private bool MaskMove(in Instruction instruction)
    {
        int size = instruction.Mnemonic is Mnemonic.Vmaskmovps or Mnemonic.Vpmaskmovd ? 4 : 8;
        bool store = instruction.Op0Kind == OpKind.Memory;
        ulong address = _cpu.EffectiveAddress(instruction);
        byte* mask = Vector(instruction.Op1Register);
        int length = instruction.Op1Register.GetSize();
        Span<byte> result = stackalloc byte[32];
        result.Clear();
        for (int i = 0; store && i < length / size; i++)
        {
            // All elements are probed before the first is written.
            if (!IsMasked(mask, i, size) && !CanWrite(address + (ulong)(i * size), size))
            {
                return false;
            }
        }

        for (int i = 0; i < length / size; i++)
        {
            if (IsMasked(mask, i, size))
            {
                continue;
            }

            ulong at = address + (ulong)(i * size);
            bool done = store
                ? Write(at, new ReadOnlySpan<byte>(Vector(instruction.Op2Register) + (i * size), size))
                : Read(at, result.Slice(i * size, size));
            if (!done)
            {
                return false;
            }
        }

        if (!store)
        {
            result.CopyTo(new Span<byte>(Vector(instruction.Op0Register), 32));
        }

        return true;
    }

    private bool MaskMoveBytes(in Instruction instruction)
    {
        ulong address = State->Rdi;
        if (instruction.Op0Kind == OpKind.MemorySegEDI)
        {
            address = (uint)address;
        }

        address += _cpu.SegmentBase(instruction.SegmentPrefix);
        Span<byte> source = stackalloc byte[16];
        Span<byte> mask = stackalloc byte[16];
        int length = 16;
        if (instruction.Mnemonic == Mnemonic.Maskmovq)
        {
            length = 8;
            byte* image = SaveX87();
            if ((image[2] & ErrorSummary) != 0)
            {
                _fault = new GuestException(GuestException.FloatingPoint);
                return false;
            }

            EnterMmx(new Span<byte>(image, 160));
            new Span<byte>(image + 32 + (16 * instruction.Op1Register.GetNumber()), 8).CopyTo(source);
            new Span<byte>(image + 32 + (16 * instruction.Op2Register.GetNumber()), 8).CopyTo(mask);
        }
        else
        {
            new Span<byte>(Vector(instruction.Op1Register), 16).CopyTo(source);
            new Span<byte>(Vector(instruction.Op2Register), 16).CopyTo(mask);
        }

        if (!CanWrite(address, length))
        {
            return false;
        }

        for (int i = 0; i < length; i++)
        {
            if ((mask[i] & 0x80) != 0 && !Write(address + (ulong)i, source.Slice(i, 1)))
            {
                return false;
            }
        }

        return true;
    }

    // What every MMX instruction does to the x87 state: top of stack 0, all registers valid. The image numbers registers from the top.
    private void EnterMmx(Span<byte> image)
    {
        int top = (image[3] >> 3) & 7;
        Span<byte> old = stackalloc byte[128];
        image.Slice(32, 128).CopyTo(old);
        for (int i = 0; i < 8; i++)
        {
            old.Slice(16 * ((i - top) & 7), 16).CopyTo(image[(32 + (16 * i))..]);
        }

        image[3] &= 0xC7;
        image[4] = 0xFF;
        LoadX87(image);
    }

    private bool Gather(in Instruction instruction)
    {
        int size = instruction.Mnemonic is Mnemonic.Vgatherdps or Mnemonic.Vgatherqps or Mnemonic.Vpgatherdd or Mnemonic.Vpgatherqd ? 4 : 8;
        int indexSize = instruction.Mnemonic is Mnemonic.Vgatherdps or Mnemonic.Vgatherdpd or Mnemonic.Vpgatherdd or Mnemonic.Vpgatherdq ? 4 : 8;
        byte* destination = Vector(instruction.Op0Register);
        byte* mask = Vector(instruction.Op2Register);
        byte* index = Vector(instruction.MemoryIndex);
        if (destination == mask || destination == index || mask == index)
        {
            _fault = new GuestException(GuestException.InvalidOpcode);
            return false;
        }

        int count = Math.Min(instruction.Op0Register.GetSize() / size, instruction.MemoryIndex.GetSize() / indexSize);
        ulong start = instruction.MemoryBase == Register.None ? 0 : _cpu.GetRegister(instruction.MemoryBase.GetFullRegister());
        bool narrow = instruction.MemoryBase.IsGPR32();
        ulong segment = _cpu.SegmentBase(instruction.SegmentPrefix);
        for (int i = 0; i < count; i++)
        {
            // The mask is cleared element by element, so that a fault restarts where it happened.
            if (!IsMasked(mask, i, size))
            {
                long offset = indexSize == 4 ? *(int*)(index + (4 * i)) : *(long*)(index + (8 * i));
                ulong address = start + ((ulong)offset * (ulong)instruction.MemoryIndexScale) + instruction.MemoryDisplacement64;
                if (narrow)
                {
                    address = (uint)address;
                }

                if (!Read(address + segment, new Span<byte>(destination + (i * size), size)))
                {
                    return false;
                }

                new Span<byte>(mask + (i * size), size).Clear();
            }
        }

        new Span<byte>(mask, 32).Clear();
        new Span<byte>(destination + (count * size), 32 - (count * size)).Clear();
        return true;
    }
}
