using System.Formats.Tar;
using System.Text;
using CooperativeLinux.Guests.Files;

namespace CooperativeLinux.Guests.Packages;

/// <summary>What is known of a package that was unpacked.</summary>
/// <param name="Control">The fields of its control file.</param>
/// <param name="ControlText">The control file as it is.</param>
/// <param name="PostInstall">The script that dpkg would run after unpacking, or an empty text.</param>
/// <param name="Paths">The paths it holds, absolute, as dpkg lists them.</param>
internal sealed record PackageContents(
    IReadOnlyDictionary<string, string> Control, string ControlText, string PostInstall, IReadOnlyList<string> Paths)
{
    // What a guest that is built anew each time has no use for.
    private static readonly string[] LeftOut =
        ["usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/", "usr/share/bug/"];

    /// <summary>
    /// Unpacks a package into a tree, with the owners and modes its archive says. The contents of files go to a
    /// folder of the host, in which links are made as well, so that tools can look at it as a root folder.
    /// </summary>
    /// <exception cref="GuestBuildException">The package is damaged.</exception>
    public static async Task<PackageContents> UnpackAsync(
        string packagePath, FileTree tree, string stagingFolder, CancellationToken cancellationToken)
    {
        string controlText = "";
        string postInstall = "";
        List<string> paths = ["/."];
        try
        {
            await Tool.StreamAsync("dpkg-deb", ["--ctrl-tarfile", packagePath], ReadControlAsync, cancellationToken).ConfigureAwait(false);
            await Tool.StreamAsync("dpkg-deb", ["--fsys-tarfile", packagePath], ReadFilesAsync, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is InvalidDataException or EndOfStreamException or FormatException)
        {
            throw new GuestBuildException($"the package {Path.GetFileName(packagePath)} is damaged: {error.Message}", error);
        }

        Dictionary<string, string> control = ControlFile.Parse(controlText).FirstOrDefault()
            ?? throw new GuestBuildException($"the package {Path.GetFileName(packagePath)} has no control file");
        return new PackageContents(control, controlText, postInstall, paths);

        async Task ReadControlAsync(Stream stream)
        {
            await using TarReader reader = new(stream, leaveOpen: true);
            while (await reader.GetNextEntryAsync(cancellationToken: cancellationToken).ConfigureAwait(false) is TarEntry entry)
            {
                if (entry.DataStream is Stream data && Clean(entry.Name) is "control" or "postinst")
                {
                    using StreamReader text = new(data, Encoding.UTF8);
                    string content = await text.ReadToEndAsync(cancellationToken).ConfigureAwait(false);
                    if (entry.Name.EndsWith("control", StringComparison.Ordinal))
                    {
                        controlText = content;
                    }
                    else
                    {
                        postInstall = content;
                    }
                }
            }
        }

        async Task ReadFilesAsync(Stream stream)
        {
            await using TarReader reader = new(stream, leaveOpen: true);
            while (await reader.GetNextEntryAsync(cancellationToken: cancellationToken).ConfigureAwait(false) is TarEntry entry)
            {
                string path = Clean(entry.Name);
                if (path.Length > 0)
                {
                    paths.Add("/" + path);
                    if (!LeftOut.Any(folder => path.StartsWith(folder, StringComparison.Ordinal)))
                    {
                        await AddAsync(entry, path, tree, stagingFolder, cancellationToken).ConfigureAwait(false);
                    }
                }
            }
        }
    }

    private static string Clean(string name)
    {
        return string.Join('/', name.Split('/').Where(part => part is not ("" or ".")));
    }

    private static async Task AddAsync(
        TarEntry entry, string path, FileTree tree, string stagingFolder, CancellationToken cancellationToken)
    {
        if (entry.EntryType == TarEntryType.HardLink)
        {
            FileNode linked = tree.Find(Clean(entry.LinkName))
                ?? throw new InvalidDataException($"a hard link to {entry.LinkName}, which is not there");
            tree.Add(path, linked);
            return;
        }

        FileKind kind = entry.EntryType switch
        {
            TarEntryType.Directory => FileKind.Directory,
            TarEntryType.SymbolicLink => FileKind.SymbolicLink,
            TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile => FileKind.Regular,
            _ => throw new InvalidDataException($"{path} is of the unexpected type {entry.EntryType}"),
        };

        string resolved = tree.Resolve(path);
        string staged = Path.Combine(stagingFolder, resolved);
        tree.Add(resolved, new FileNode
        {
            Kind = kind,
            Permissions = (int)entry.Mode,
            UserId = entry.Uid,
            GroupId = entry.Gid,
            ModifiedSeconds = entry.ModificationTime.ToUnixTimeSeconds(),
            Target = kind == FileKind.SymbolicLink ? entry.LinkName : null,
            ContentPath = kind == FileKind.Regular ? staged : null,
        });
        if (kind == FileKind.Directory)
        {
            // Where the tree has a link to a folder, the folder is there already.
            if (tree.Find(resolved)!.Kind == FileKind.Directory)
            {
                Directory.CreateDirectory(staged);
            }

            return;
        }

        Directory.CreateDirectory(Path.GetDirectoryName(staged)!);
        File.Delete(staged);
        if (kind == FileKind.SymbolicLink)
        {
            File.CreateSymbolicLink(staged, entry.LinkName);
            return;
        }

        FileStream output = new(staged, FileMode.CreateNew, FileAccess.Write);
        await using (output.ConfigureAwait(false))
        {
            if (entry.DataStream is Stream data)
            {
                await data.CopyToAsync(output, cancellationToken).ConfigureAwait(false);
            }
        }
    }
}
