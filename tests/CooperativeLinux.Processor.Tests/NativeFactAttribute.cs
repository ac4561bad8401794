using System.Runtime.CompilerServices;

namespace CooperativeLinux.Processor.Tests;

/// <summary>A test that runs instructions natively. It is left out on hosts that cannot, without an exception: Wine 8 does not stand
/// one that passes through the runtime's own frames.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class NativeFactAttribute : FactAttribute
{
    public NativeFactAttribute([CallerFilePath] string? file = null, [CallerLineNumber] int line = -1) : base(file, line)
    {
        Skip = NativeRunnerFixture.Requirement;
        SkipType = typeof(NativeRunnerFixture);
        SkipUnless = nameof(NativeRunnerFixture.IsNative);
    }
}

/// <summary>As <see cref="NativeFactAttribute"/>, with data.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class NativeTheoryAttribute : TheoryAttribute
{
    public NativeTheoryAttribute([CallerFilePath] string? file = null, [CallerLineNumber] int line = -1) : base(file, line)
    {
        Skip = NativeRunnerFixture.Requirement;
        SkipType = typeof(NativeRunnerFixture);
        SkipUnless = nameof(NativeRunnerFixture.IsNative);
    }
}
