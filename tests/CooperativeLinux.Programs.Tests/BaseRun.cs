namespace CooperativeLinux.Programs.Tests;

/// <summary>Shells, the usual tools, perl, python, openssl and sqlite.</summary>
public sealed class BaseRun : ProgramRun
{
    /// <summary>The folder with the programs.</summary>
    public const string Tier = "base";

    internal static readonly string[] Packages =
        ["bash", "diffutils", "findutils", "grep", "gawk", "sed", "perl", "python3", "libpython3.11-testsuite", "sqlite3", "openssl"];

    public BaseRun()
        : base(Tier, Packages, "1536M", TimeSpan.FromMinutes(10))
    {
    }
}
