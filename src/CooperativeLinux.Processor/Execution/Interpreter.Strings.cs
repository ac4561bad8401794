using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

// movs, stos, lods, scas and cmps, with and without repetition.
internal sealed unsafe partial class Interpreter
{
    private bool String(in Instruction instruction, out bool finished)
    {
        finished = true;
        int size = ElementSize(instruction.Mnemonic);
        bool narrow = IsNarrow(instruction);
        bool repeated = instruction.HasRepPrefix || instruction.HasRepnePrefix;
        ulong mask = narrow ? uint.MaxValue : ulong.MaxValue;
        ulong sourceBase = _cpu.SegmentBase(instruction.SegmentPrefix);
        bool backward = (State->SystemFlags & RflagsBits.Direction) != 0;
        bool compares = instruction.Mnemonic is Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq
            or Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq;
        bool usesSource = instruction.Mnemonic is not (Mnemonic.Stosb or Mnemonic.Stosw or Mnemonic.Stosd or Mnemonic.Stosq
            or Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq);
        bool usesDestination = instruction.Mnemonic is not (Mnemonic.Lodsb or Mnemonic.Lodsw or Mnemonic.Lodsd or Mnemonic.Lodsq);
        bool writes = usesDestination && !compares;

        byte* elementFrom = stackalloc byte[8];
        byte* elementTo = stackalloc byte[8];
        for (;;)
        {
            ulong count = repeated ? State->Rcx & mask : 1;
            if (count == 0)
            {
                // A 32-bit count of zero still clears the upper half on no known processor; registers stay.
                return true;
            }

            ulong source = (State->Rsi & mask) + sourceBase;
            ulong destination = State->Rdi & mask;
            ulong chunk = backward ? 1 : Math.Min(count, 4096);
            if (usesSource)
            {
                chunk = Math.Min(chunk, Room(source, size));
            }

            if (usesDestination)
            {
                chunk = Math.Min(chunk, Room(destination, size));
            }

            chunk = Math.Max(chunk, 1);
            ulong done;
            bool stop = false;
            byte* from = null;
            byte* to = null;
            int bytes = (int)chunk * size;
            bool crossing = (usesSource && Room(source, size) == 0) || (usesDestination && Room(destination, size) == 0);
            if (crossing)
            {
                // One element over a page border.
                if (usesSource && !Read(source, new Span<byte>(elementFrom, size)))
                {
                    return false;
                }

                if (compares && !Read(destination, new Span<byte>(elementTo, size)))
                {
                    return false;
                }

                from = elementFrom;
                to = elementTo;
            }
            else if ((usesSource && !Resolve(source, bytes, write: false, out from)) || (usesDestination && !Resolve(destination, bytes, writes, out to)))
            {
                return false;
            }

            switch (instruction.Mnemonic)
            {
                case Mnemonic.Movsb or Mnemonic.Movsw or Mnemonic.Movsd or Mnemonic.Movsq:
                    CopyForward(from, to, bytes, size);
                    done = chunk;
                    break;
                case Mnemonic.Stosb or Mnemonic.Stosw or Mnemonic.Stosd or Mnemonic.Stosq:
                    FillWith(to, bytes, size);
                    done = chunk;
                    break;
                case Mnemonic.Lodsb or Mnemonic.Lodsw or Mnemonic.Lodsd or Mnemonic.Lodsq:
                    ulong loaded = LoadElement(from + bytes - size, size);
                    State->Rax = size switch
                    {
                        1 => (State->Rax & ~0xFFUL) | loaded,
                        2 => (State->Rax & ~0xFFFFUL) | loaded,
                        _ => loaded,
                    };
                    done = chunk;
                    break;
                default:
                    bool untilEqual = instruction.HasRepnePrefix;
                    done = Compare(usesSource ? from : null, to, (int)chunk, size, repeated, untilEqual, out stop);
                    break;
            }

            if (crossing && writes && !Write(destination, new ReadOnlySpan<byte>(to, size)))
            {
                return false;
            }

            long step = (long)done * size * (backward ? -1 : 1);
            if (usesSource)
            {
                State->Rsi = Advance(State->Rsi, step, narrow);
            }

            if (usesDestination)
            {
                State->Rdi = Advance(State->Rdi, step, narrow);
            }

            if (!repeated)
            {
                return true;
            }

            State->Rcx = Advance(State->Rcx, -(long)done, narrow);
            if (stop || (State->Rcx & mask) == 0)
            {
                return true;
            }

            if (Volatile.Read(ref _engine->Limit) == ulong.MaxValue)
            {
                finished = false;
                return true;
            }
        }
    }

    private static ulong Advance(ulong register, long step, bool narrow)
    {
        ulong value = register + (ulong)step;
        return narrow ? (uint)value : value;
    }

    private static bool IsNarrow(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) is OpKind.MemoryESEDI or OpKind.MemorySegESI or OpKind.MemorySegEDI)
            {
                return true;
            }
        }

        return false;
    }

    private static int ElementSize(Mnemonic mnemonic) => mnemonic switch
    {
        Mnemonic.Movsb or Mnemonic.Stosb or Mnemonic.Lodsb or Mnemonic.Scasb or Mnemonic.Cmpsb => 1,
        Mnemonic.Movsw or Mnemonic.Stosw or Mnemonic.Lodsw or Mnemonic.Scasw or Mnemonic.Cmpsw => 2,
        Mnemonic.Movsd or Mnemonic.Stosd or Mnemonic.Lodsd or Mnemonic.Scasd or Mnemonic.Cmpsd => 4,
        _ => 8,
    };

    /// <summary>Whole elements from an address to the end of its page.</summary>
    private static ulong Room(ulong address, int size) => (4096 - (address & 0xFFF)) / (ulong)size;

    private static void CopyForward(byte* from, byte* to, int bytes, int size)
    {
        if (to > from && to < from + bytes)
        {
            // Overlapping: what an element writes, a later one reads.
            for (int i = 0; i < bytes; i += size)
            {
                ulong element = LoadElement(from + i, size);
                StoreElement(to + i, element, size);
            }

            return;
        }

        Buffer.MemoryCopy(from, to, bytes, bytes);
    }

    private void FillWith(byte* to, int bytes, int size)
    {
        ulong value = State->Rax;
        switch (size)
        {
            case 1:
                new Span<byte>(to, bytes).Fill((byte)value);
                break;
            case 2:
                new Span<ushort>(to, bytes / 2).Fill((ushort)value);
                break;
            case 4:
                new Span<uint>(to, bytes / 4).Fill((uint)value);
                break;
            default:
                new Span<ulong>(to, bytes / 8).Fill(value);
                break;
        }
    }

    // scas compares rax with [rdi], cmps [rsi] with [rdi]. Returns the elements looked at.
    private ulong Compare(byte* from, byte* to, int count, int size, bool repeated, bool untilEqual, out bool stop)
    {
        stop = false;
        ulong left = 0;
        ulong right = 0;
        int i = 0;
        ulong accumulator = size == 8 ? State->Rax : State->Rax & ((1UL << (size * 8)) - 1);
        for (; i < count;)
        {
            left = from == null ? accumulator : LoadElement(from + (i * size), size);
            right = LoadElement(to + (i * size), size);
            i++;
            if (repeated && (left == right) == untilEqual)
            {
                stop = true;
                break;
            }
        }

        State->ArithmeticFlags = SubtractFlags(left, right, size);
        return (ulong)i;
    }

    /// <summary>Flags of left - right for an operand size in bytes.</summary>
    private static ulong SubtractFlags(ulong left, ulong right, int size)
    {
        int bits = size * 8;
        ulong mask = bits == 64 ? ulong.MaxValue : (1UL << bits) - 1;
        ulong result = (left - right) & mask;
        ulong sign = 1UL << (bits - 1);
        return (left < right ? RflagsBits.Carry : 0)
            | (result == 0 ? RflagsBits.Zero : 0)
            | ((result & sign) != 0 ? RflagsBits.Sign : 0)
            | ((((left ^ right) & (left ^ result)) & sign) != 0 ? RflagsBits.Overflow : 0)
            | ((left ^ right ^ result) & RflagsBits.Auxiliary)
            | ((System.Numerics.BitOperations.PopCount((uint)(byte)result) & 1) == 0 ? RflagsBits.Parity : 0);
    }

    private static ulong LoadElement(byte* at, int size) => size switch
    {
        1 => *at,
        2 => *(ushort*)at,
        4 => *(uint*)at,
        _ => *(ulong*)at,
    };

    private static void StoreElement(byte* at, ulong value, int size)
    {
        switch (size)
        {
            case 1:
                *at = (byte)value;
                break;
            case 2:
                *(ushort*)at = (ushort)value;
                break;
            case 4:
                *(uint*)at = (uint)value;
                break;
            default:
                *(ulong*)at = value;
                break;
        }
    }
}
