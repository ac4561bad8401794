using CooperativeLinux.Processor.Tests;
using CooperativeLinux.Processor.Tests.Oracle;

[assembly: AssemblyFixture(typeof(NativeRunnerFixture))]

namespace CooperativeLinux.Processor.Tests;

/// <summary>The one native runner of the process (its pages have fixed addresses), or what stands in for it.</summary>
public sealed class NativeRunnerFixture : IDisposable
{
    /// <summary>Variable with the path of a file to write: the processor's results of all cases of this run.</summary>
    public const string RecordVariable = "COLINUX_TEST_RECORD";

    /// <summary>Variable with the path of such a file to compare with, instead of running natively: for Windows and Wine.</summary>
    public const string ExpectedVariable = "COLINUX_TEST_EXPECTED";

    /// <summary>What tests of the native runner need.</summary>
    internal const string Requirement = "This host cannot run instructions natively (needs Linux, AVX2, wrfsbase).";

    private readonly NativeRunner? _native;
    private readonly RecordingRunner? _recorder;
    private readonly IInstructionRunner? _oracle;

    /// <summary>Whether there is a native runner.</summary>
    public static bool IsNative => NativeRunner.IsSupported;

    /// <summary>Chooses the oracle by the environment and the host.</summary>
    public NativeRunnerFixture()
    {
        string? expected = Environment.GetEnvironmentVariable(ExpectedVariable), record = Environment.GetEnvironmentVariable(RecordVariable);
        if (NativeRunner.IsSupported)
        {
            _native = new NativeRunner();
            _recorder = record is null ? null : new RecordingRunner(_native, record);
        }

        _oracle = expected is not null ? new RecordedRunner(expected) : _recorder is not null ? _recorder : _native;
    }

    /// <summary>What was compared so far, printed at the end of the run.</summary>
    internal ComparisonCounts Counts { get; } = new();

    /// <summary>The runner, where <see cref="IsNative"/>.</summary>
    internal NativeRunner Runner => _native ?? throw new InvalidOperationException(Requirement);

    /// <summary>What translated code is compared with; skips the calling test if there is nothing.</summary>
    internal IInstructionRunner Oracle
    {
        get
        {
            Assert.SkipUnless(_oracle is not null, $"Neither a native runner nor recorded results ({ExpectedVariable}).");
            return _oracle!;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        string counts = Counts.ToString();
        if (counts.Length > 0)
        {
            Console.WriteLine("* " + counts);
        }

        _recorder?.Dispose();
        _native?.Dispose();
    }
}
