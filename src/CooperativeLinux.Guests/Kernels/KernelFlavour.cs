using System.Text.RegularExpressions;

namespace CooperativeLinux.Guests.Kernels;

/// <summary>A line of Debian's kernels for x86-64: a series, in its generic or its cloud build.</summary>
/// <param name="Series">The upstream series, such as <c>6.1</c> or <c>6.12</c>.</param>
/// <param name="IsCloud">True for the cloud build, which is smaller and has no drivers of real hardware.</param>
public sealed partial record KernelFlavour(string Series, bool IsCloud)
{
    /// <summary>Debian 12's kernel: the default guest's, because it has the drivers of every device (cloud builds lack 9p).</summary>
    public static KernelFlavour Generic61 { get; } = new("6.1", false);

    /// <summary>Debian 12's kernel, cloud build.</summary>
    public static KernelFlavour Cloud61 { get; } = new("6.1", true);

    /// <summary>The newer kernel offered for Debian 12.</summary>
    public static KernelFlavour Generic612 { get; } = new("6.12", false);

    /// <summary>The newer kernel offered for Debian 12, cloud build.</summary>
    public static KernelFlavour Cloud612 { get; } = new("6.12", true);

    /// <summary>The four kernels this project is tested with.</summary>
    public static IReadOnlyList<KernelFlavour> Tested { get; } = [Generic61, Cloud61, Generic612, Cloud612];

    /// <summary>The name in options and in the cache, such as <c>6.1-cloud</c> or <c>6.12-generic</c>.</summary>
    public string Name => $"{Series}-{(IsCloud ? "cloud" : "generic")}";

    /// <summary>Reads <c>6.1</c>, <c>6.1-generic</c> or <c>6.1-cloud</c>; a series alone means the generic build.</summary>
    /// <returns>False if the text names no kernel flavour.</returns>
    public static bool TryParse(string? text, out KernelFlavour flavour)
    {
        Match match = NamePattern().Match(text ?? "");
        flavour = new KernelFlavour(match.Groups[1].Value, match.Groups[2].Value == "cloud");
        return match.Success;
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        return Name;
    }

    [GeneratedRegex(@"^([0-9]{1,3}\.[0-9]{1,3})(?:-(generic|cloud))?\z")]
    private static partial Regex NamePattern();
}
