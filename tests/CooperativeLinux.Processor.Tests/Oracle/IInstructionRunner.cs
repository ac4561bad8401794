namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>Something that executes instructions: the real processor, or the translator.</summary>
internal interface IInstructionRunner
{
    /// <summary>Executes from <see cref="TestState.Rip"/> until an exception, and leaves the resulting state in place.</summary>
    void Run(TestState state);
}
