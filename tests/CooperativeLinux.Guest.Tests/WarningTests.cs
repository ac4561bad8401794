using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>What a guest does that does not exist here is told once, on standard error.</summary>
public sealed class WarningTests
{
    [Fact]
    public void Program_UsingAnInstructionNotOffered_GetsASignalAndIsNamedOnce()
    {
        // vpxord zmm1, zmm2, zmm3: AVX-512, which no guest is offered.
        byte[] program = GuestProgram.Create([0x62, 0xf1, 0x6d, 0x48, 0xef, 0xcb]);
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M");
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        colinux.Type(GuestProgram.Write(program, "/tmp/wide") + "\n");
        colinux.Type("/tmp/wide; echo first $?; /tmp/wide; echo second $?; exit\n");

        (position, _) = colinux.WaitFor("first 132", position);
        colinux.WaitFor("second 132", position);
        Assert.Equal(0, colinux.WaitForExit());
        Assert.Equal("colinux: a program in the guest used the instruction Vpxord, which this processor does not offer (at 0x400078)\n", colinux.Errors);
    }
}
