namespace CooperativeLinux.Cli.Tests;

/// <summary>Runs command lines in the test's own process, with a machine that only notes what it was asked for.</summary>
internal sealed class ConsoleRun
{
    public StringWriter Output { get; } = new();

    public StringWriter Error { get; } = new();

    public MachineOptions? Options { get; private set; }

    public Func<MachineOptions, CancellationToken, Task<MachineResult>> Machine { get; init; } =
        (_, _) => Task.FromResult(new MachineResult(MachineEnd.PowerOff));

    public IReadOnlyList<string> ErrorLines => Error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);

    public Task<ExitCode> RunAsync(params string[] arguments)
    {
        return RunAsync(TestContext.Current.CancellationToken, arguments);
    }

    public Task<ExitCode> RunAsync(CancellationToken cancellationToken, params string[] arguments)
    {
        Application application = new(Output, Error, (options, token) =>
        {
            Options = options;
            return Machine(options, token);
        });
        return application.RunAsync(arguments, cancellationToken);
    }
}
