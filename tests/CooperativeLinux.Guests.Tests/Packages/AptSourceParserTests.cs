using CooperativeLinux.Guests.Packages;

namespace CooperativeLinux.Guests.Tests.Packages;

public sealed class AptSourceParserTests
{
    [Fact]
    public void ParseOneLine_OptionsAndComments_AreUnderstood()
    {
        const string Text = """
            # deb http://old.example/debian bookworm main
            deb-src http://archive.example/debian bookworm main
            deb [ arch=amd64,i386 signed-by=/usr/share/keyrings/k.gpg trusted=yes ] http://archive.example/debian bookworm main contrib # here
            """ + "\ndeb\thttp://archive.example/debian\tbookworm-updates\tmain\n";

        List<AptSource> sources = [.. AptSourceParser.ParseOneLine(Text)];

        Assert.Equal(2, sources.Count);
        Assert.Equal(["main", "contrib"], sources[0].Components);
        Assert.Equal("/usr/share/keyrings/k.gpg", sources[0].Options["Signed-By"]);
        Assert.Equal("yes", sources[0].Options["Trusted"]);
        Assert.False(sources[0].Options.ContainsKey("Arch"));
        Assert.Equal(["bookworm-updates"], sources[1].Suites);
    }

    [Fact]
    public void ParseDeb822_SeveralStanzas_DisabledAndSourceOnlyAreLeftOut()
    {
        const string Text = """
            Types: deb deb-src
            URIs: http://a.example/debian http://b.example/debian
            Suites: bookworm bookworm-updates
            Components: main
            Signed-By:
             -----BEGIN PGP PUBLIC KEY BLOCK-----
             .
             mQINBF
             -----END PGP PUBLIC KEY BLOCK-----

            Enabled: no
            Types: deb
            URIs: http://c.example/debian
            Suites: bookworm

            Types: deb-src
            URIs: http://d.example/debian
            Suites: bookworm
            """;

        AptSource source = Assert.Single(AptSourceParser.ParseDeb822(Text));

        Assert.Equal(["http://a.example/debian", "http://b.example/debian"], source.Uris);
        Assert.Contains("\n .\n mQINBF\n", source.ToDeb822(), StringComparison.Ordinal);
    }

    [Fact]
    public void ToDeb822_ParsedAgain_IsTheSame()
    {
        AptSource source = new(["http://a.example/debian"], ["bookworm", "./"], ["main"], new Dictionary<string, string> { ["Signed-By"] = "/k.gpg" });

        AptSource again = Assert.Single(AptSourceParser.ParseDeb822(source.ToDeb822()));

        Assert.Equal(source.ToDeb822(), again.ToDeb822());
    }

    [Fact]
    public void SelectDistribution_ForeignSources_AreLeftOut()
    {
        AptSource debian = new(["http://a.example/debian"], ["bookworm", "bookworm-updates", "sid"], ["main"], new Dictionary<string, string>());
        AptSource foreign = new(["http://b.example/tool"], ["nodistro"], ["main"], new Dictionary<string, string>());

        AptSource kept = Assert.Single(AptSourceChoice.SelectDistribution([debian, foreign], "bookworm"));

        Assert.Equal(["bookworm", "bookworm-updates"], kept.Suites);
        Assert.Equal(2, AptSourceChoice.SelectDistribution([debian, foreign], "trixie").Count);
    }

    [Fact]
    public void OfMirror_NotAnAddress_IsAnError()
    {
        Assert.Throws<GuestBuildException>(() => AptSourceChoice.OfMirror("not an address"));
    }
}
