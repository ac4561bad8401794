using System.CommandLine;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux image</c>: makes a guest of Debian packages.</summary>
internal static class ImageCommand
{
    /// <summary>Creates the command.</summary>
    /// <param name="output">Receives the path.</param>
    public static Command Create(TextWriter output)
    {
        Argument<string[]> packages = new("PACKAGE")
        {
            Arity = ArgumentArity.OneOrMore,
            Description = "Debian packages to put in, such as python3 or gcc; what they depend on comes with them",
        };
        packages.Validators.Add(result =>
        {
            foreach (string name in result.Tokens.Select(token => token.Value).Where(name => !IsPackageName(name)))
            {
                result.AddError($"'{name}' is not the name of a Debian package.");
            }
        });
        Option<bool> essential = new("--essential") { Description = "Put in all packages that Debian marks as essential" };
        Option<bool> compress = new("--compress") { Description = "Compress the image: less room on the host, slower to start" };
        Option<string?> mirror = GuestOptions.CreateMirror();
        Command command = new("image", "Makes a guest of Debian packages, for 'run --initrd'. Prints its path.")
        {
            packages,
            essential,
            compress,
            mirror,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using GuestProgressLine? progress = GuestProgressLine.ForStandardError();
            AptSourceChoice sources = AptSourceChoice.OfMirror(parsed.GetValue(mirror));
            RootImageOptions options = new()
            {
                Packages = parsed.GetValue(packages) ?? [],
                IncludesEssential = parsed.GetValue(essential),
                IsCompressed = parsed.GetValue(compress),
            };
            string path = await new RootImageBuilder(GuestCache.ForUser(), sources)
                .GetAsync(options, progress, cancellationToken).ConfigureAwait(false);
            progress?.Dispose();
            await output.WriteLineAsync(path).ConfigureAwait(false);
            return (int)ExitCode.Success;
        });
        return command;
    }

    // Debian Policy 5.6.7.
    internal static bool IsPackageName(string name)
    {
        return name.Length >= 2
            && char.IsAsciiLetterOrDigit(name[0])
            && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '+' or '-' or '.');
    }
}
