using System.CommandLine;
using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Cli.Commands;

/// <summary>The options <c>--share</c> and <c>--no-share</c>, and what they put on the kernel's command line.</summary>
internal sealed class ShareOptions
{
    /// <summary>Tag of the current folder, which is shared when nothing else is said.</summary>
    public const string DefaultTag = "host";

    /// <summary>Folder of the guest below which shares are mounted, each by its tag.</summary>
    public const string MountRoot = "/mnt/";

    /// <summary><c>--share</c>.</summary>
    public Option<FileShareOptions[]?> Share { get; } = new("--share")
    {
        HelpName = ShareOption.Form,
        Description = $"Let the guest use a folder of the host, at {MountRoot}TAG; may be given several times. ro: only reading; owner: whose files they seem to be, see docs/shares.md [default: the current folder, at {MountRoot}{DefaultTag}]",
        CustomParser = result =>
        {
            List<FileShareOptions> shares = [];
            foreach (string text in result.Tokens.Select(token => token.Value))
            {
                if (!ShareOption.TryParse(text, out FileShareOptions? share, out string reason))
                {
                    result.AddError($"--share {text}: {reason}.");
                    return null;
                }

                shares.Add(share);
            }

            if (ShareOption.FindConflict(shares) is string conflict)
            {
                result.AddError($"--share: {conflict}.");
            }

            return [.. shares];
        },
    };

    /// <summary><c>--no-share</c>.</summary>
    public Option<bool> NoShare { get; } = new("--no-share")
    {
        Description = "Share no folder, not even the current one",
    };

    /// <summary>The folders to share.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="flavour">The kernel, or null for a file, of which nothing is known.</param>
    /// <param name="isFolderShared">Whether the current folder is shared when nothing else is said.</param>
    /// <exception cref="UserException">The options do not go together, or the kernel has no 9p.</exception>
    public IReadOnlyList<FileShareOptions> Choose(ParseResult parsed, KernelFlavour? flavour, bool isFolderShared)
    {
        FileShareOptions[] shares = parsed.GetValue(Share) ?? [];
        if (shares.Length > 0 && parsed.GetValue(NoShare))
        {
            throw new UserException(ExitCode.Usage, "--share and --no-share do not go together");
        }

        if (shares.Length > 0 && flavour is { IsCloud: true })
        {
            throw new UserException(ExitCode.Usage, $"the kernel {flavour} has no 9p, so it cannot use --share; the generic kernels can, such as {GuestOptions.DefaultFlavour}");
        }

        bool isDefault = shares.Length == 0 && !parsed.GetValue(NoShare) && isFolderShared;
        return isDefault && CurrentFolder() is string folder ? [new FileShareOptions(folder, DefaultTag)] : shares;
    }

    // A shell may stand in a folder that was removed.
    private static string? CurrentFolder()
    {
        try
        {
            return Directory.GetCurrentDirectory();
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Words for the kernel's command line that make a guest of ours mount the shares.</summary>
    public static IEnumerable<string> CommandLine(IReadOnlyList<FileShareOptions> shares)
    {
        foreach (FileShareOptions share in shares)
        {
            yield return $"colinux.mount={share.Tag}:{MountRoot}{share.Tag}{(share.IsReadOnly ? ":ro" : "")}";
        }

        if (shares.Any(share => share.Tag == DefaultTag))
        {
            yield return $"colinux.folder={MountRoot}{DefaultTag}";
        }
    }
}
