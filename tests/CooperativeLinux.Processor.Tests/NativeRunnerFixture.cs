using CooperativeLinux.Processor.Tests;
using CooperativeLinux.Processor.Tests.Oracle;

[assembly: AssemblyFixture(typeof(NativeRunnerFixture))]

namespace CooperativeLinux.Processor.Tests;

/// <summary>The one native runner of the process; its pages have fixed addresses.</summary>
public sealed class NativeRunnerFixture : IDisposable
{
    private readonly NativeRunner? _runner = NativeRunner.IsSupported ? new NativeRunner() : null;

    /// <summary>The runner; skips the calling test on hosts that have none.</summary>
    internal NativeRunner Runner
    {
        get
        {
            Assert.SkipUnless(_runner is not null, "This host cannot run instructions natively (needs Linux, AVX2, wrfsbase).");
            return _runner!;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _runner?.Dispose();
}
