using System.Runtime.Versioning;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Hosting.WindowsServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace CooperativeLinux.Cli.Services;

/// <summary>A machine as a Windows service: runs while the service does, and is shut down in order when it is stopped.</summary>
[SupportedOSPlatform("windows")]
internal sealed class MachineService : BackgroundService
{
    // winerror.h: what the service reports when the machine ended in any other way than asked; its log says how.
    private const int ProcessAborted = 1067;

    private readonly string[] _arguments;
    private readonly Stream _log;
    private readonly IHostApplicationLifetime _application;
    private readonly Lifetime _service;

    private MachineService(string[] arguments, Stream log, IServiceProvider services)
    {
        _arguments = arguments;
        _log = log;
        _application = services.GetRequiredService<IHostApplicationLifetime>();
        _service = (Lifetime)services.GetRequiredService<IHostLifetime>();
    }

    /// <summary>Runs a command line until it ends or the service is stopped. To be called in a process that Windows started as a service.</summary>
    /// <param name="arguments">A command line of <c>colinux run</c>.</param>
    /// <param name="logPath">Receives the guest's console and our messages; what was in it is lost.</param>
    /// <param name="stopTime">What an orderly end may take.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public static async Task RunAsync(string[] arguments, string logPath, TimeSpan stopTime, CancellationToken cancellationToken)
    {
        await using FileStream log = new(logPath, FileMode.Create, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        HostApplicationBuilder builder = Microsoft.Extensions.Hosting.Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = stopTime);
        builder.Services.AddSingleton<IHostLifetime, Lifetime>();
        builder.Services.AddHostedService(services => new MachineService(arguments, log, services));
        using IHost host = builder.Build();
        await host.RunAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Windows waits for the start to be over.
        await Task.Yield();
        using StreamWriter messages = new(_log, new UTF8Encoding(false), leaveOpen: true) { AutoFlush = true };
        Application application = new(
            messages, messages, (options, cancellation) => Machine.RunAsync(options with { Output = _log }, cancellation));
        ExitCode code = await application.RunAsync(_arguments, stoppingToken).ConfigureAwait(false);
        if (code is not (ExitCode.Success or ExitCode.Interrupted))
        {
            _service.ExitCode = ProcessAborted;
        }

        _application.StopApplication();
    }

    /// <summary>Asks Windows for the time an orderly end takes; it gives up on a service that is silent for longer than it said.</summary>
    private sealed class Lifetime(
        IHostEnvironment environment, IHostApplicationLifetime application, ILoggerFactory loggers, IOptions<HostOptions> options)
        : WindowsServiceLifetime(environment, application, loggers, options)
    {
        private readonly TimeSpan _stopTime = options.Value.ShutdownTimeout;

        protected override void OnStop()
        {
            RequestAdditionalTime(_stopTime);
            base.OnStop();
        }
    }
}
