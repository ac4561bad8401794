using System.CommandLine;
using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Cli.Commands;

/// <summary>Options that more than one command has.</summary>
internal static class GuestOptions
{
    /// <summary>The kernel that is used when none is named.</summary>
    public static KernelFlavour DefaultFlavour => KernelFlavour.Generic61;

    /// <summary>What <c>--kernel</c> says for the kernel on the first disk.</summary>
    public const string DiskKernel = "disk";

    /// <summary>What the help calls a value that may be anything, also empty.</summary>
    public const string AnyText = "TEXT";

    /// <summary>The option <c>--mirror</c>.</summary>
    public static Option<string?> CreateMirror()
    {
        Option<string?> option = new("--mirror")
        {
            HelpName = "URI",
            Description = "The Debian archive to fetch kernels and programs from [default: the one that apt is set up with]",
        };
        option.Validators.Add(result =>
        {
            string? text = result.Tokens.Count > 0 ? result.Tokens[0].Value : null;
            if (text is not null && (!text.Contains(':', StringComparison.Ordinal) || !Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) || uri.Scheme is not ("http" or "https" or "file" or "ftp")))
            {
                result.AddError($"--mirror: '{text}' is not the address of a Debian archive.");
            }
        });
        return option;
    }
}
