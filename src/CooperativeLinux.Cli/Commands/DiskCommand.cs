using System.CommandLine;
using System.CommandLine.Parsing;
using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Block.Storage;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux disk</c>: work on disk files that no machine uses.</summary>
internal static class DiskCommand
{
    /// <summary>Creates the command.</summary>
    /// <param name="output">Receives results.</param>
    public static Command Create(TextWriter output) => new("disk", "Makes and changes disk files, for 'run --disk'.")
    {
        CreateCreate(),
        CreateInfo(output),
        CreateCommit(output),
        CreateResize(),
        CreateRebase(),
    };

    private static Command CreateCreate()
    {
        Argument<string> file = NewFile("FILE", "The disk to make; nothing may be there yet");
        Option<long?> size = new("--size", "-s") { HelpName = "SIZE", Description = "Its size, such as 512M or 8G [default: the base's]", CustomParser = ParseSize };
        Option<string?> baseFile = new("--base", "-b") { HelpName = "BASE", Description = "Make an overlay: a file that holds only what differs from this disk, which must not change from then on" };
        Command command = new("create", "Makes a raw disk, or an overlay over another disk.") { file, size, baseFile };
        command.Validators.Add(result =>
        {
            if (result.GetResult(size) is null && result.GetResult(baseFile) is null)
            {
                result.AddError("a disk needs a size, such as --size 8G, or a --base.");
            }
        });
        command.SetAction(parsed => Try(() =>
        {
            if (parsed.GetValue(baseFile) is string basePath)
            {
                OverlayImage.Create(parsed.GetValue(file)!, basePath, parsed.GetValue(size));
            }
            else
            {
                DiskImage.Create(parsed.GetValue(file)!, parsed.GetValue(size) ?? 0);
            }
        }));
        return command;
    }

    private static Command CreateInfo(TextWriter output)
    {
        Argument<string> file = NewFile("FILE", "The disk, raw or an overlay");
        Command command = new("info", "Tells what a disk is, how large, and whether an overlay fits its base.") { file };
        command.SetAction(parsed => Try(() =>
        {
            foreach ((string name, string value) in DiskImage.Describe(parsed.GetValue(file)!))
            {
                output.WriteLine($"{name + ":",-14}{value}");
            }
        }));
        return command;
    }

    private static Command CreateCommit(TextWriter output)
    {
        Argument<string> file = NewFile("OVERLAY", "The overlay; it is empty afterwards");
        Option<string?> baseFile = new("--base", "-b") { HelpName = "BASE", Description = "Where the base is now [default: where it was]" };
        Command command = new("commit", "Writes what an overlay holds into its base. Other overlays of that base fit no more.") { file, baseFile };
        command.SetAction(parsed => Try(() =>
        {
            long copied = OverlayImage.Commit(parsed.GetValue(file)!, parsed.GetValue(baseFile));
            output.WriteLine($"{copied} bytes written");
        }));
        return command;
    }

    private static Command CreateResize()
    {
        Argument<string> file = NewFile("FILE", "The disk, raw or an overlay");
        Argument<long> size = new("SIZE") { Description = "Its new size, such as 16G", CustomParser = result => ParseSize(result) ?? 0 };
        Option<bool> shrink = new("--shrink") { Description = "Lose what lies behind the new end" };
        Command command = new("resize", "Changes the size of a disk. The file system on it is another matter: resize2fs in the guest.") { file, size, shrink };
        command.SetAction(parsed => Try(() => DiskImage.Resize(parsed.GetValue(file)!, parsed.GetValue(size), parsed.GetValue(shrink))));
        return command;
    }

    private static Command CreateRebase()
    {
        Argument<string> file = NewFile("OVERLAY", "The overlay");
        Argument<string> baseFile = NewFile("BASE", "Where its base is now");
        Option<bool> force = new("--force") { Description = "Take the base even if its content is not what it was" };
        Command command = new("rebase", "Ties an overlay to its base again, after the base was moved or copied.") { file, baseFile, force };
        command.SetAction(parsed => Try(() => OverlayImage.Rebase(parsed.GetValue(file)!, parsed.GetValue(baseFile)!, parsed.GetValue(force))));
        return command;
    }

    private static Argument<string> NewFile(string name, string description) => new(name) { Description = description };

    private static long? ParseSize(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!DiskSize.TryParse(text, out long bytes, out string reason))
        {
            result.AddError($"size {text}: {reason}.");
        }

        return bytes;
    }

    private static int Try(Action work)
    {
        try
        {
            work();
            return (int)ExitCode.Success;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException(ExitCode.Failed, error.Message, error);
        }
    }
}
