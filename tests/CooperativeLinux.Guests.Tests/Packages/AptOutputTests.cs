using CooperativeLinux.Guests.Packages;

namespace CooperativeLinux.Guests.Tests.Packages;

public sealed class AptOutputTests
{
    [Fact]
    public void ParseSimulation_InstAndConf_TakesInst()
    {
        const string Output = """
            Reading package lists...
            Inst gcc-12-base (12.2.0-14+deb12u1 Debian:12.11/stable [amd64])
            Inst libc6 [2.36-1] (2.36-9+deb12u10 Debian:12.11/stable [amd64]) []
            Conf gcc-12-base (12.2.0-14+deb12u1 Debian:12.11/stable [amd64])
            """;

        Assert.Equal(["gcc-12-base=12.2.0-14+deb12u1", "libc6=2.36-9+deb12u10"], AptWorkspace.ParseSimulation(Output));
    }

    [Fact]
    public void ParseUris_Lines_GiveNamesAndSizes()
    {
        const string Output = """
            'http://a.example/pool/b_1%2b1_amd64.deb' b_1%3a1+1_amd64.deb 928188 SHA256:3d
            Reading package lists...
            """;

        Assert.Equal([("b_1%3a1+1_amd64.deb", 928188L)], AptWorkspace.ParseUris(Output));
    }

    [Theory]
    [InlineData("1.0", "1.0", 0)]
    [InlineData("1.0", "1.1", -1)]
    [InlineData("6.1.9", "6.1.10", -1)]
    [InlineData("6.12.95-1~bpo12+1", "6.12.95-1", -1)]
    [InlineData("1:1.0", "2.0", 1)]
    [InlineData("1.0~rc1", "1.0", -1)]
    [InlineData("1.0", "1.0-1", -1)]
    [InlineData("1.0a", "1.0+", -1)]
    [InlineData("1.010", "1.10", 0)]
    [InlineData("2.36-9+deb12u10", "2.36-9+deb12u9", 1)]
    [InlineData("1.0-1-1", "1.0-2", 1)]
    public void Compare_DebianVersions_FollowsPolicy(string x, string y, int expected)
    {
        Assert.Equal(expected, Math.Sign(DebianVersion.Comparer.Compare(x, y)));
        Assert.Equal(-expected, Math.Sign(DebianVersion.Comparer.Compare(y, x)));
    }

    [Fact]
    public void ParseAlternatives_CallsInScripts_AreFoundWithSlaves()
    {
        const string Script = """
            #!/bin/sh
            if [ "$1" = configure ]; then
              update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \
                --slave /usr/bin/nawk nawk /usr/bin/mawk \
                --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz
              update-alternatives --quiet --install /usr/bin/$name $name /usr/bin/x 20
            fi
            """;

        IReadOnlyList<Alternatives.Choice> choices = Alternatives.Parse(Script);

        Assert.Equal(["awk", "nawk", "awk.1.gz"], choices.Select(c => c.Name));
        Assert.Equal(new Alternatives.Choice("/usr/bin/awk", "awk", "/usr/bin/mawk", 5), choices[0]);
    }
}
