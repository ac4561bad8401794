using System.Buffers.Binary;
using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

// State images: fxsave, xsave, fnsave and their inverses (Intel SDM volume 1, chapters 8, 10 and 13). The x87 registers are live in the
// host processor; vectors and MXCSR are in the state. Instruction and data pointers are always zero, since they would be the host's.
internal sealed unsafe partial class Interpreter
{
    private const ulong FeatureX87 = 1, FeatureSse = 2, FeatureAvx = 4, Features = 7;
    private const uint MxcsrMask = 0xFFFF;
    private const int AvxOffset = 576;

    /// <summary>Bytes of an fxsave image up to the end of the x87 registers.</summary>
    private const int X87ImageSize = 160;

    /// <summary>Bit of the status word, also in the image's byte 2.</summary>
    private const int ErrorSummary = 0x80;
    private const int XsaveSize = 832;
    private const ulong CompactFormat = 1UL << 63;

    // fxsave image of the live x87 state, with pointers cleared.
    private byte* SaveX87()
    {
        byte* image = _engine->FpuImage;
        ((delegate* unmanaged<byte*, void>)_fpuSave)(image);
        new Span<byte>(image + 6, 18).Clear();
        return image;
    }

    // Loads x87 registers from an fxsave image, through frstor, which leaves the vector registers alone.
    private void LoadX87(ReadOnlySpan<byte> fxImage)
    {
        byte* image = _engine->FpuImage + 512;
        new Span<byte>(image, 128).Clear();
        Span<byte> target = new(image, 128);
        fxImage[..2].CopyTo(target);
        fxImage.Slice(2, 2).CopyTo(target[4..]);
        int tags = 0;
        for (int i = 0; i < 8; i++)
        {
            tags |= (fxImage[4] & (1 << i)) != 0 ? 0 : 3 << (2 * i);
            fxImage.Slice(32 + (16 * i), 10).CopyTo(target[(28 + (10 * i))..]);
        }

        BinaryPrimitives.WriteUInt16LittleEndian(target[8..], (ushort)tags);
        ((delegate* unmanaged<byte*, void>)_fpuRestore)(image);
    }

    /// <summary>The x87 state after fninit, as the first bytes of an fxsave image.</summary>
    public static byte[] CreateX87Image()
    {
        byte[] image = new byte[X87ImageSize];
        BinaryPrimitives.WriteUInt16LittleEndian(image, 0x37F);
        return image;
    }

    /// <summary>Makes an image the thread's x87 state, and the state it had the image.</summary>
    /// <param name="image"><see cref="X87ImageSize"/> bytes.</param>
    public void ExchangeX87(Span<byte> image)
    {
        Span<byte> live = stackalloc byte[X87ImageSize];
        new Span<byte>(SaveX87(), X87ImageSize).CopyTo(live);
        LoadX87(image);
        live.CopyTo(image);
    }

    /// <summary>Whether the next waiting x87 instruction will raise #MF.</summary>
    public bool IsX87ErrorPending => (SaveX87()[2] & ErrorSummary) != 0;

    private void InitialiseX87() => LoadX87(CreateX87Image());

    private bool FxSave(ulong address)
    {
        if ((address & 15) != 0)
        {
            return ProtectionFault();
        }

        if (!CanWrite(address, 512))
        {
            return false;
        }

        byte* image = SaveX87();
        *(uint*)(image + 24) = State->Mxcsr;
        *(uint*)(image + 28) = MxcsrMask;
        for (int i = 0; i < 16; i++)
        {
            new Span<byte>(State->Vectors + (32 * i), 16).CopyTo(new Span<byte>(image + 160 + (16 * i), 16));
        }

        return Write(address, new ReadOnlySpan<byte>(image, 416));
    }

    private bool FxRestore(ulong address)
    {
        if ((address & 15) != 0)
        {
            return ProtectionFault();
        }

        Span<byte> image = stackalloc byte[512];

        // The end is touched first, as processors do.
        if (!Read(address + 511, image[511..]) || !Read(address, image))
        {
            return false;
        }

        uint mxcsr = BinaryPrimitives.ReadUInt32LittleEndian(image[24..]);
        if ((mxcsr & ~MxcsrMask) != 0)
        {
            return ProtectionFault();
        }

        State->Mxcsr = mxcsr;
        LoadX87(image);
        for (int i = 0; i < 16; i++)
        {
            image.Slice(160 + (16 * i), 16).CopyTo(new Span<byte>(State->Vectors + (32 * i), 16));
        }

        return true;
    }

    private bool XSave(ulong address, bool compact)
    {
        if ((address & 63) != 0)
        {
            return ProtectionFault();
        }

        ulong wanted = ((State->Rdx << 32) | (uint)State->Rax) & Features;
        int length = (wanted & FeatureAvx) != 0 ? XsaveSize : AvxOffset;
        Span<byte> image = stackalloc byte[XsaveSize];
        if (!CanWrite(address, length) || !Read(address, image[..length]))
        {
            return false;
        }

        if ((wanted & FeatureX87) != 0)
        {
            byte* x87 = SaveX87();
            new Span<byte>(x87, 24).CopyTo(image);
            new Span<byte>(x87 + 32, 128).CopyTo(image[32..]);
        }

        if ((wanted & (compact ? FeatureSse : FeatureSse | FeatureAvx)) != 0)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(image[24..], State->Mxcsr);
            BinaryPrimitives.WriteUInt32LittleEndian(image[28..], MxcsrMask);
        }

        for (int i = 0; i < 16; i++)
        {
            if ((wanted & FeatureSse) != 0)
            {
                new Span<byte>(State->Vectors + (32 * i), 16).CopyTo(image[(160 + (16 * i))..]);
            }

            if ((wanted & FeatureAvx) != 0)
            {
                new Span<byte>(State->Vectors + (32 * i) + 16, 16).CopyTo(image[(AvxOffset + (16 * i))..]);
            }
        }

        ulong present = compact ? wanted : (BinaryPrimitives.ReadUInt64LittleEndian(image[512..]) & ~wanted) | wanted;
        BinaryPrimitives.WriteUInt64LittleEndian(image[512..], present);
        if (compact)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(image[520..], wanted | CompactFormat);
        }

        // Only what the mask covers may be touched behind the header.
        return Write(address, image[..length]);
    }

    private bool XRestore(ulong address)
    {
        if ((address & 63) != 0)
        {
            return ProtectionFault();
        }

        ulong wanted = ((State->Rdx << 32) | (uint)State->Rax) & Features;
        Span<byte> image = stackalloc byte[XsaveSize];
        image.Clear();
        if (!Read(address, image[..AvxOffset]))
        {
            return false;
        }

        ulong present = BinaryPrimitives.ReadUInt64LittleEndian(image[512..]);
        ulong layout = BinaryPrimitives.ReadUInt64LittleEndian(image[520..]);
        bool compact = (layout & CompactFormat) != 0;
        bool bad = compact
            ? (layout & ~(CompactFormat | Features)) != 0 || (present & ~layout) != 0
            : layout != 0 || (present & ~Features) != 0 || BinaryPrimitives.ReadUInt64LittleEndian(image[528..]) != 0;
        if (bad)
        {
            return ProtectionFault();
        }

        bool vectors = (wanted & present & FeatureAvx) != 0;
        if ((wanted & FeatureAvx) != 0 && !Read(address + AvxOffset, image[AvxOffset..]))
        {
            return false;
        }

        bool loadsMxcsr = compact ? (wanted & FeatureSse) != 0 : (wanted & (FeatureSse | FeatureAvx)) != 0;
        if (loadsMxcsr)
        {
            uint mxcsr = compact && (present & FeatureSse) == 0 ? 0x1F80 : BinaryPrimitives.ReadUInt32LittleEndian(image[24..]);
            if ((mxcsr & ~MxcsrMask) != 0)
            {
                return ProtectionFault();
            }

            State->Mxcsr = mxcsr;
        }

        if ((wanted & FeatureX87) != 0)
        {
            if ((present & FeatureX87) != 0)
            {
                LoadX87(image);
            }
            else
            {
                InitialiseX87();
            }
        }

        for (int i = 0; i < 16; i++)
        {
            if ((wanted & FeatureSse) != 0)
            {
                Span<byte> low = new(State->Vectors + (32 * i), 16);
                if ((present & FeatureSse) != 0)
                {
                    image.Slice(160 + (16 * i), 16).CopyTo(low);
                }
                else
                {
                    low.Clear();
                }
            }

            if ((wanted & FeatureAvx) != 0)
            {
                Span<byte> high = new(State->Vectors + (32 * i) + 16, 16);
                if (vectors)
                {
                    image.Slice(AvxOffset + (16 * i), 16).CopyTo(high);
                }
                else
                {
                    high.Clear();
                }
            }
        }

        return true;
    }

    // fnstenv, fnsave, fldenv, frstor: the 32-bit protected-mode image (28 bytes, then registers), or the 16-bit one (14).
    private bool FpuEnvironment(in Instruction instruction)
    {
        ulong address = _cpu.EffectiveAddress(instruction);
        bool small = instruction.Code is Code.Fnsave_m94byte or Code.Frstor_m94byte or Code.Fnstenv_m14byte or Code.Fldenv_m14byte;
        int word = small ? 2 : 4;
        int head = 7 * word;
        bool registers = instruction.Mnemonic is Mnemonic.Fsave or Mnemonic.Fnsave or Mnemonic.Frstor;
        bool waits = instruction.Mnemonic is not (Mnemonic.Fnsave or Mnemonic.Fnstenv);
        int length = head + (registers ? 80 : 0);
        Span<byte> image = stackalloc byte[108];
        image.Clear();
        Span<byte> current = new(SaveX87(), 160);
        if (waits && (current[2] & ErrorSummary) != 0)
        {
            _fault = new GuestException(GuestException.FloatingPoint);
            return false;
        }

        if (instruction.Mnemonic is Mnemonic.Fsave or Mnemonic.Fstenv or Mnemonic.Fnsave or Mnemonic.Fnstenv)
        {
            current[..2].CopyTo(image);
            current.Slice(2, 2).CopyTo(image[word..]);
            BinaryPrimitives.WriteUInt16LittleEndian(image[(2 * word)..], FullTags(current));
            if (!small)
            {
                // The upper halves of the words read as ones.
                image[2] = image[3] = image[6] = image[7] = image[10] = image[11] = 0xFF;
                image[26] = image[27] = 0xFF;
            }

            for (int i = 0; registers && i < 8; i++)
            {
                current.Slice(32 + (16 * i), 10).CopyTo(image[(head + (10 * i))..]);
            }

            if (!Write(address, image[..length]))
            {
                return false;
            }

            if (registers)
            {
                InitialiseX87();
            }
            else
            {
                current[0] |= 0x3F;
                LoadX87(current);
            }

            return true;
        }

        if (!Read(address, image[..length]))
        {
            return false;
        }

        int oldTop = (current[3] >> 3) & 7;
        image[..2].CopyTo(current);
        image.Slice(word, 2).CopyTo(current[2..]);
        if (!registers)
        {
            // The registers stay where they are, but the image numbers them from the top of stack.
            int shift = (((current[3] >> 3) & 7) - oldTop) & 7;
            Span<byte> old = stackalloc byte[128];
            current.Slice(32, 128).CopyTo(old);
            for (int i = 0; i < 8; i++)
            {
                old.Slice(16 * ((i + shift) & 7), 16).CopyTo(current[(32 + (16 * i))..]);
            }
        }

        ushort tags = BinaryPrimitives.ReadUInt16LittleEndian(image[(2 * word)..]);
        byte valid = 0;
        for (int i = 0; i < 8; i++)
        {
            valid |= (byte)(((tags >> (2 * i)) & 3) == 3 ? 0 : 1 << i);
            if (registers)
            {
                image.Slice(head + (10 * i), 10).CopyTo(current[(32 + (16 * i))..]);
            }
        }

        current[4] = valid;
        LoadX87(current);
        return true;
    }

    // Two bits per physical register: 0 valid, 1 zero, 2 special, 3 empty.
    private static ushort FullTags(ReadOnlySpan<byte> fx)
    {
        int top = (fx[3] >> 3) & 7;
        int tags = 0;
        for (int physical = 0; physical < 8; physical++)
        {
            int tag = 3;
            if ((fx[4] & (1 << physical)) != 0)
            {
                ReadOnlySpan<byte> register = fx.Slice(32 + (16 * ((physical - top) & 7)), 10);
                ulong mantissa = BinaryPrimitives.ReadUInt64LittleEndian(register);
                int exponent = BinaryPrimitives.ReadUInt16LittleEndian(register[8..]) & 0x7FFF;
                tag = exponent == 0 ? (mantissa == 0 ? 1 : 2) : exponent == 0x7FFF || (mantissa >> 63) == 0 ? 2 : 0;
            }

            tags |= tag << (2 * physical);
        }

        return (ushort)tags;
    }
}
