using CooperativeLinux.Processor.Decoding;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>Makes guest code for the verifier's tests: sequences of valid instructions of every kind the policy knows, never run.</summary>
internal sealed class GuestCodeGenerator
{
    private static readonly byte[] s_prefixes = [0x66, 0xF2, 0xF3, 0xF0, 0x64, 0x65, 0x67, 0x2E];

    // Stack traffic and bit strings, which random opcodes rarely meet in a row.
    private static readonly string[] s_frequent =
    [
        "50", "53", "4151", "4154", "55", "5D", "58", "415A", "4159", "5C", "54", "6A07", "6868240000", "FF742408", "8F442410", "FF33", "8F03", "6653", "665B",
        "4883EC28", "4883C428", "4881EC00010000", "488D6424F8", "4883E4F0", "4889E5", "488B442408", "4889442410", "894C2404", "8A642401", "887C2403", "C9",
        "4C894C2418", "4C8B542420", "4C8B1B", "4D01CA", "4F8D1C11", "4D0FAF14D9", "0FA30B", "480FAB1C24", "66440FB30B", "F0480FBB4C2408", "D7", "0F114424F0",
        "0F28042400", "4C8B09", "4D8B11", "4D8B5A08", "4F8B0C1A", "8A6308", "02630F", "20FC", "F0480FB10B", "480FC70B", "65488B042528000000", "6548030C2510000000", "64488B4B08",
        "488B0590000000", "440FB60B", "4C03642408", "9C", "9D", "F3A4", "F348AB", "0FA2", "D934240F", "DD03", "DB2C24", "D91B", "C5FD6F03", "C4E27D18442404", "C5F877",
        "488D0412", "67488B03", "67658B07", "488D3D10000000", "450FA30A", "4D0FA3D9", "4D87CA", "4C871424", "4D0FC1D1", "66450FC1C8", "410F94C1", "450F44D3", "49FFC1", "41D3E2",
        "4C0FB1CB", "C442A3F5CA", "C462B3F7D1", "C4C2B3F6C2",
    ];

    private static readonly string[] s_ends =
    [
        "C3", "C20800", "E810000000", "EB10", "E900010000", "7405", "0F8C00010000", "FFE0", "41FFE1", "FF20", "FF6424 08", "FFD0", "41FFD2", "FF13", "FF542418", "E205", "E305", "67E305", "E1F0",
        "0F05", "CC", "0F0B", "F4", "0F01F8", "67E2F0", "E0F0", "64FF20", "41FF14D1",
    ];

    private readonly Random _random;
    private readonly InstructionPolicy _policy = new();

    public GuestCodeGenerator(int seed) => _random = new Random(seed);

    /// <summary>Random bytes.</summary>
    public byte[] Noise(int length)
    {
        byte[] bytes = new byte[length];
        _random.NextBytes(bytes);
        return bytes;
    }

    /// <summary>A sequence of valid instructions that ends with a branch, or runs on.</summary>
    public byte[] Sequence(int maxInstructions)
    {
        List<byte> code = [];
        int count = 1 + _random.Next(maxInstructions);
        for (int i = 0; i < count; i++)
        {
            code.AddRange(_random.Next(3) == 0 ? Pick(s_frequent) : Instruction());
            if (_random.Next(8) == 0)
            {
                // A conditional branch does not end the block.
                code.AddRange([(byte)(0x70 | _random.Next(16)), (byte)_random.Next(256)]);
            }
        }

        code.AddRange(Pick(s_ends));
        return [.. code];
    }

    // Random bytes in an instruction's shape, until they decode to something that the policy does not refuse.
    private byte[] Instruction()
    {
        byte[] bytes = new byte[24];
        for (;;)
        {
            Shape(bytes);
            Decoder decoder = Decoder.Create(64, bytes);
            decoder.Decode(out Instruction instruction);
            if (!instruction.IsInvalid && _policy.Classify(instruction) is Handling.Copy or Handling.Lea or Handling.BitString or Handling.Push or Handling.Pop)
            {
                return bytes[..instruction.Length];
            }
        }
    }

    private void Shape(byte[] bytes)
    {
        _random.NextBytes(bytes);
        int at = 0;
        while (_random.Next(3) == 0 && at < 3)
        {
            bytes[at++] = s_prefixes[_random.Next(s_prefixes.Length)];
        }

        switch (_random.Next(8))
        {
            case 0:
                bytes[at] = 0xC5;
                break;
            case 1:
                // Maps 0F, 0F38, 0F3A.
                bytes[at] = 0xC4;
                bytes[at + 1] = (byte)((bytes[at + 1] & 0xE0) | (1 + _random.Next(3)));
                break;
            default:
                if (_random.Next(2) == 0)
                {
                    bytes[at++] = (byte)(0x40 | _random.Next(16));
                }

                int map = _random.Next(6);
                if (map > 2)
                {
                    bytes[at++] = 0x0F;
                }

                if (map == 5)
                {
                    bytes[at] = (byte)(_random.Next(2) == 0 ? 0x38 : 0x3A);
                }

                break;
        }
    }

    private byte[] Pick(string[] from) => Convert.FromHexString(from[_random.Next(from.Length)].Replace(" ", string.Empty, StringComparison.Ordinal));
}
