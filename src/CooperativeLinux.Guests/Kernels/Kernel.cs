namespace CooperativeLinux.Guests.Kernels;

/// <summary>A stock kernel in the cache, as its package has it.</summary>
/// <param name="Release">The release as <c>uname -r</c> prints it, such as <c>6.1.0-50-cloud-amd64</c>.</param>
/// <param name="Folder">The folder that holds it.</param>
public sealed record Kernel(string Release, string Folder)
{
    /// <summary>The compressed kernel image (bzImage).</summary>
    public string VmlinuzPath => Path.Combine(Folder, "vmlinuz");

    /// <summary>The build configuration (<c>CONFIG_...</c> lines).</summary>
    public string ConfigPath => Path.Combine(Folder, "config");

    /// <summary>The folder with the modules: what a guest has in <c>/lib/modules/RELEASE</c>.</summary>
    public string ModulesPath => Path.Combine(Folder, "modules");
}
