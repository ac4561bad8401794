using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;

namespace CooperativeLinux.Guest.Tests;

/// <summary>The guest's console through pipes.</summary>
public sealed class ConsoleTests
{
    [Fact]
    public void Input_FromAPipeThatEnds_IsRunByTheShell()
    {
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M");

        colinux.Type("echo hi $((40+2)) there; exit\n");
        colinux.CloseInput();

        Assert.Equal(0, colinux.WaitForExit());
        Assert.Contains("hi 42 there", colinux.Output, StringComparison.Ordinal);
        Assert.Empty(colinux.Errors);
    }

    [Fact]
    public void Input_ClosedAtOnce_DoesNotEndTheMachine()
    {
        (int exitCode, string output, _) = Colinux.Run("run", "-k", "6.1-cloud", "-m", "256M", "-a", "colinux.script=\"sleep 3; echo after; exit 5\"");

        Assert.Equal(0, exitCode);
        (string text, int status) = Assert.NotNull(GuestScript.Parse(output));
        Assert.Equal("after\n", text);
        Assert.Equal(5, status);
    }

    [Fact]
    public void Output_OfAMegabyte_ArrivesCompleteAndInOrder()
    {
        (int exitCode, string output, _) = Colinux.Run("run", "-k", "6.1-cloud", "-m", "256M", "-a", "colinux.script=\"seq 1 150000\"");

        Assert.Equal(0, exitCode);
        (string text, int status) = Assert.NotNull(GuestScript.Parse(output));
        Assert.Equal(0, status);
        StringBuilder expected = new();
        for (int i = 1; i <= 150_000; i++)
        {
            expected.Append(i).Append('\n');
        }

        Assert.Equal(expected.Length, text.Length);
        Assert.Equal(Checksum(expected.ToString()), Checksum(text));

        static string Checksum(string value) => Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(value)));
    }

    [Fact]
    public void Log_OnAFullDisk_EndsAndTheGuestGoesOn()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "needs /dev/full");

        (int exitCode, string output, string errors) = Colinux.Run(
            "run", "-k", "6.1-cloud", "-m", "256M", "--log", "/dev/full", "-a", "colinux.script=\"echo still here\"");

        Assert.Equal(0, exitCode);
        Assert.Contains("still here\n", output, StringComparison.Ordinal);
        Assert.StartsWith("colinux: the log /dev/full ends here, the guest goes on: No space left on device", errors, StringComparison.Ordinal);
        Assert.Equal(1, errors.Count(character => character == '\n'));
    }

    [Fact]
    public void Log_OfARun_HoldsTheOutput()
    {
        string log = Path.GetTempFileName();
        try
        {
            (int exitCode, string output, _) = Colinux.Run("run", "-k", "6.1-cloud", "-m", "256M", "--log", log, "-a", "colinux.script=\"echo gr\u00fc\u00dfe\"");

            Assert.Equal(0, exitCode);
            Assert.Contains("gr\u00fc\u00dfe\n", output, StringComparison.Ordinal);
            Assert.Equal(output, File.ReadAllText(log).Replace("\r\n", "\n", StringComparison.Ordinal));
        }
        finally
        {
            File.Delete(log);
        }
    }
}
