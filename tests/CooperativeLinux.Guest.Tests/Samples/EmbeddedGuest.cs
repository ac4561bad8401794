using CooperativeLinux.Commands;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests.Samples;

/// <summary>The sample in docs/library.md, which is this text.</summary>
internal static class EmbeddedGuest
{
    public static async Task RunAsync(TextWriter output, CancellationToken cancellationToken)
    {
        // <sample>
        // A stock Debian kernel and the small guest, from the user's cache or fetched.
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(KernelFlavour.Generic61, progress: null, cancellationToken);
        IReadOnlyList<string> initrds = await new DefaultGuest(cache).GetInitrdsAsync(kernel, progress: null, cancellationToken);

        await using Machine machine = await Machine.StartAsync(
            new MachineOptions { KernelPath = kernel.VmlinuzPath, InitrdPaths = initrds, CommandLine = "console=hvc0 quiet" },
            cancellationToken);

        CommandResult system = await machine.RunAsync("uname", "-s");
        await output.WriteAsync(system.Output);

        GuestCommand failing = new("sh", "-c", "echo lost >&2; exit 3") { Folder = "/tmp" };
        CommandResult result = await machine.RunAsync(failing, cancellationToken);
        await output.WriteLineAsync($"status {result.ExitCode}, errors: {result.Errors.Trim()}");

        MachineResult end = await machine.ShutDownAsync(cancellationToken);
        await output.WriteLineAsync($"the machine has ended: {end.End}");
        // </sample>
    }
}
