using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Guests.Packages;

namespace CooperativeLinux.Guests.Tests.Packages;

/// <summary>A Debian archive in a folder, with packages made by dpkg-deb, so that tests need no network.</summary>
internal sealed class LocalArchive(TemporaryFolder folder)
{
    private readonly StringBuilder _index = new();
    private readonly string _root = Directory.CreateDirectory(Path.Combine(folder.Path, "archive")).FullName;

    public AptSourceChoice Sources => AptSourceChoice.OfList(
        [new AptSource(["copy:" + _root], ["./"], [], new Dictionary<string, string> { ["Trusted"] = "yes" })]);

    public string AddPackage(string name, string version, string fields, IReadOnlyDictionary<string, string> files, string? postInstall = null)
    {
        string content = folder.File($"build/{name}-{version}/DEBIAN/control");
        string control = $"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@invalid>\nDescription: test\n{fields}";
        File.WriteAllText(content, control);
        foreach ((string path, string text) in files)
        {
            string file = folder.File($"build/{name}-{version}/{path}");
            if (text.StartsWith("->", StringComparison.Ordinal))
            {
                File.CreateSymbolicLink(file, text[2..]);
            }
            else
            {
                File.WriteAllText(file, text);
            }
        }

        if (postInstall is not null)
        {
            string script = folder.File($"build/{name}-{version}/DEBIAN/postinst");
            File.WriteAllText(script, postInstall);
            File.SetUnixFileMode(script, (UnixFileMode)0b111_101_101);
        }

        string package = Path.Combine(_root, $"{name}_{version}_amd64.deb");
        using Process process = Process.Start(new ProcessStartInfo("dpkg-deb", ["-Znone", "--root-owner-group", "-b", Path.GetDirectoryName(Path.GetDirectoryName(content))!, package])
        {
            RedirectStandardOutput = true,
        })!;
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);

        byte[] bytes = File.ReadAllBytes(package);
        _index.Append(control).Append($"Filename: ./{Path.GetFileName(package)}\nSize: {bytes.Length}\nSHA256: {Convert.ToHexStringLower(SHA256.HashData(bytes))}\n\n");
        File.WriteAllText(Path.Combine(_root, "Packages"), _index.ToString());
        return package;
    }

    public void AddKernel(string release, string version)
    {
        AddPackage("linux-image-amd64", version, $"Depends: linux-image-{release} (= {version})\n", new Dictionary<string, string>());
        AddPackage($"linux-image-{release}", version, "", new Dictionary<string, string>
        {
            [$"boot/vmlinuz-{release}"] = "kernel " + release,
            [$"boot/config-{release}"] = "CONFIG_XEN_PV=y\n",
            [$"lib/modules/{release}/modules.builtin"] = "",
        });
    }

    public void Delete()
    {
        Directory.Delete(_root, recursive: true);
    }

    public void Truncate(string package)
    {
        using FileStream stream = new(package, FileMode.Open);
        stream.SetLength(stream.Length / 2);
    }
}
