using System.Globalization;
using System.Text;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>
/// Cases as text: the start state as differences to the pattern of <see cref="TestLayout"/>, one `name value` per line, comments with #.
/// Both the report of a failure and the files under Data have this form.
/// </summary>
internal static class CaseText
{
    private const int Gap = 8;

    /// <summary>The image up to the last x87 register; what follows is not used.</summary>
    private const int X87UsedBytes = 160;

    /// <summary>Writes a case.</summary>
    public static string Format(TestCase test)
    {
        StringBuilder text = new();
        foreach (string line in test.Disassemble())
        {
            text.Append("# ").AppendLine(line);
        }

        TestState state = test.Start;
        text.AppendLine(CultureInfo.InvariantCulture, $"case {test.Name}");
        text.AppendLine(CultureInfo.InvariantCulture, $"rip {state.Rip:x}");
        text.AppendLine(CultureInfo.InvariantCulture, $"code {test.CodeLength:x}");
        for (int i = 0; i < 16; i++)
        {
            AppendNumber(text, StateComparer.RegisterNames[i], state.Registers[i], 0);
        }

        AppendNumber(text, "rflags", state.Rflags, TestState.FixedFlags);
        AppendNumber(text, "fsbase", state.FsBase, 0);
        AppendNumber(text, "gsbase", state.GsBase, 0);
        AppendNumber(text, "mxcsr", state.Mxcsr, 0x1F80);
        AppendNumber(text, "undefined", test.UndefinedFlags, 0);
        AppendNumber(text, "lost", test.FlagsLostOnFault, 0);
        AppendNumber(text, "tolerance", (ulong)test.Tolerance, 0);
        AppendNumber(text, "ignored", test.IgnoredRegisters, 0);
        foreach (IgnoredBytes range in test.IgnoredMemory)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"ignore {range.Address:x} {range.Length:x}");
        }

        for (int i = 0; i < 16; i++)
        {
            ReadOnlySpan<byte> vector = state.Vectors.AsSpan(32 * i, 32);
            if (vector.ContainsAnyExcept((byte)0))
            {
                text.AppendLine(CultureInfo.InvariantCulture, $"ymm{i} {Convert.ToHexStringLower(vector)}");
            }
        }

        if (state.UsesX87)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"x87 {Convert.ToHexStringLower(state.X87, 0, X87UsedBytes)}");
        }

        AppendMemory(text, state);
        return text.ToString();
    }

    /// <summary>Reads all cases of a text; each starts at a `case` line.</summary>
    /// <exception cref="FormatException">A line is not understood; the message quotes it.</exception>
    public static IReadOnlyList<TestCase> Parse(string text)
    {
        List<TestCase> cases = [];
        Builder? builder = null;
        foreach (string raw in text.Split('\n'))
        {
            string line = raw.Trim();
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }

            string[] parts = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (parts[0] == "case")
            {
                AddTo(cases, builder);
                builder = new Builder(line["case".Length..].Trim());
            }
            else if (builder is null || !builder.TryAdd(parts))
            {
                throw new FormatException($"Not a line of a test case: {line}");
            }
        }

        AddTo(cases, builder);
        return cases;
    }

    private static void AddTo(List<TestCase> cases, Builder? builder)
    {
        if (builder is not null)
        {
            cases.Add(builder.Build());
        }
    }

    private static void AppendNumber(StringBuilder text, string name, ulong value, ulong usual)
    {
        if (value != usual)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"{name} {value:x}");
        }
    }

    private static void AppendMemory(StringBuilder text, TestState state)
    {
        byte[] pattern = TestLayout.CreatePattern();
        for (int i = 0; i < pattern.Length; i++)
        {
            if (pattern[i] == state.Memory[i])
            {
                continue;
            }

            int end = i + 1, limit = (i / TestLayout.PageSize * TestLayout.PageSize) + TestLayout.PageSize;
            for (int scan = end; scan < limit && scan < end + Gap; scan++)
            {
                if (pattern[scan] != state.Memory[scan])
                {
                    end = scan + 1;
                }
            }

            text.AppendLine(CultureInfo.InvariantCulture, $"memory {TestLayout.AddressOf(i):x} {Convert.ToHexStringLower(state.Memory, i, end - i)}");
            i = end - 1;
        }
    }

    private sealed class Builder
    {
        private readonly string _name;
        private readonly TestState _state = new();
        private readonly List<IgnoredBytes> _ignored = [];
        private ulong _undefined;
        private ulong _lost;
        private FaultTolerance _tolerance;
        private uint _ignoredRegisters;
        private int _codeLength;

        public Builder(string name)
        {
            _name = name;
            TestLayout.CreatePattern().CopyTo(_state.Memory, 0);
        }

        public bool TryAdd(string[] parts)
        {
            if (parts.Length is < 2 or > 3)
            {
                return false;
            }

            string name = parts[0], value = parts[1];
            int register = Array.IndexOf(StateComparer.RegisterNames, name);
            if (register >= 0)
            {
                return TryNumber(value, out _state.Registers[register]);
            }

            if (name.StartsWith("ymm", StringComparison.Ordinal) && int.TryParse(name.AsSpan(3), CultureInfo.InvariantCulture, out int vector) && vector is >= 0 and < 16)
            {
                return TryBytes(value, _state.Vectors.AsSpan(32 * vector, 32));
            }

            if (name == "x87")
            {
                _state.UsesX87 = true;
                Array.Clear(_state.X87);
                return value.Length <= 2 * TestState.X87Size && TryBytes(value, _state.X87.AsSpan(0, value.Length / 2));
            }

            return TryNumber(value, out ulong number) && TryAdd(name, number, parts.Length == 3 ? parts[2] : "");
        }

        public TestCase Build()
        {
            TestCase test = new() { Name = _name, Start = _state, CodeLength = _codeLength, UndefinedFlags = _undefined, FlagsLostOnFault = _lost, Tolerance = _tolerance, IgnoredRegisters = _ignoredRegisters };
            test.IgnoredMemory.AddRange(_ignored);
            return test;
        }

        private bool TryAdd(string name, ulong number, string extra)
        {
            switch (name)
            {
                case "rip":
                    _state.Rip = number;
                    return true;
                case "code":
                    _codeLength = (int)number;
                    return true;
                case "rflags":
                    _state.Rflags = number;
                    return true;
                case "fsbase":
                    _state.FsBase = number;
                    return true;
                case "gsbase":
                    _state.GsBase = number;
                    return true;
                case "mxcsr":
                    _state.Mxcsr = (uint)number;
                    return true;
                case "undefined":
                    _undefined = number;
                    return true;
                case "lost":
                    _lost = number;
                    return true;
                case "tolerance":
                    _tolerance = (FaultTolerance)number;
                    return true;
                case "ignored":
                    _ignoredRegisters = (uint)number;
                    return true;
                case "ignore" when TryNumber(extra, out ulong length):
                    _ignored.Add(new IgnoredBytes(number, (int)length));
                    return true;
                case "memory" when extra.Length % 2 == 0:
                    byte[] bytes = new byte[extra.Length / 2];
                    if (!TryBytes(extra, bytes))
                    {
                        return false;
                    }

                    _state.Write(number, bytes);
                    return true;
                default:
                    return false;
            }
        }

        private static bool TryNumber(string text, out ulong number) => ulong.TryParse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out number);

        private static bool TryBytes(string text, Span<byte> bytes) =>
            text.Length == 2 * bytes.Length && Convert.FromHexString(text, bytes, out _, out int written) == System.Buffers.OperationStatus.Done && written == bytes.Length;
    }
}
