using System.CommandLine;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux fetch</c>: puts kernels and the default guest into the cache.</summary>
internal static class FetchCommand
{
    /// <summary>Creates the command.</summary>
    /// <param name="output">Receives the paths.</param>
    public static Command Create(TextWriter output)
    {
        Argument<string[]> flavours = new("KERNEL")
        {
            Arity = ArgumentArity.ZeroOrMore,
            Description = $"A series with its build: {string.Join(", ", KernelFlavour.Tested)} [default: {GuestOptions.DefaultFlavour}]",
        };
        flavours.Validators.Add(result =>
        {
            foreach (string text in result.Tokens.Select(token => token.Value).Where(text => !KernelFlavour.TryParse(text, out _)))
            {
                result.AddError($"'{text}' is no kernel: name a series such as 6.1, 6.1-cloud or 6.12-generic.");
            }
        });
        Option<bool> update = new("--update") { Description = "Look for newer kernels even if the cache has one" };
        Option<string?> mirror = GuestOptions.CreateMirror();

        Command command = new("fetch", "Fetches stock Debian kernels and builds the default guest, so that 'run' can start at once. Prints their paths.")
        {
            flavours,
            update,
            mirror,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            AptSourceChoice sources = AptSourceChoice.OfMirror(parsed.GetValue(mirror));
            GuestCache cache = GuestCache.ForUser();
            KernelStore store = new(cache, sources);
            DefaultGuest guest = new(cache, sources);
            string[] names = parsed.GetValue(flavours) is { Length: > 0 } given ? given : [GuestOptions.DefaultFlavour.Name];
            using GuestProgressLine? progress = GuestProgressLine.ForStandardError();
            foreach (string name in names)
            {
                KernelFlavour.TryParse(name, out KernelFlavour flavour);
                Kernel kernel = parsed.GetValue(update)
                    ? await store.RefreshAsync(flavour, progress, cancellationToken).ConfigureAwait(false)
                    : await store.GetAsync(flavour, progress, cancellationToken).ConfigureAwait(false);
                IReadOnlyList<string> initrds = await guest.GetInitrdsAsync(kernel, progress, cancellationToken).ConfigureAwait(false);
                progress?.Dispose();
                await output.WriteLineAsync($"kernel {kernel.Release}: {kernel.VmlinuzPath}").ConfigureAwait(false);
                foreach (string initrd in initrds)
                {
                    await output.WriteLineAsync($"initrd: {initrd}").ConfigureAwait(false);
                }
            }

            return (int)ExitCode.Success;
        });
        return command;
    }
}
