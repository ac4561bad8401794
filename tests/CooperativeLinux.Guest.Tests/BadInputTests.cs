using System.Buffers.Binary;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Input that cannot work: one line, the right exit code, and never an inner detail.</summary>
public sealed class BadInputTests : IDisposable
{
    private const int Failed = 1;
    private const int Usage = 2;
    private const int BadImage = 3;

    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;

    public static TheoryData<string, byte[]> NoKernels()
    {
        byte[] random = new byte[300_000];
        new Random(7).NextBytes(random);
        byte[] elf32 = [0x7F, (byte)'E', (byte)'L', (byte)'F', 1, 1, 1, .. new byte[200]];
        BinaryPrimitives.WriteUInt16LittleEndian(elf32.AsSpan(16), 2);
        BinaryPrimitives.WriteUInt16LittleEndian(elf32.AsSpan(18), 3);
        return new TheoryData<string, byte[]>
        {
            { "text", "This is not a kernel.\n"u8.ToArray() },
            { "empty", [] },
            { "one byte", [0x7F] },
            { "random", random },
            { "32-bit ELF", elf32 },
            { "zeros", new byte[1 << 20] },
        };
    }

    [Theory]
    [MemberData(nameof(NoKernels))]
    public void Kernel_ThatIsNone_IsRefused(string name, byte[] content)
    {
        AssertRefused(BadImage, "run", "-k", Write(name, content));
    }

    [Fact]
    public void Kernel_ProgramOfTheHost_IsRefused()
    {
        // An ELF file for this machine, but not made for a PV host.
        string errors = AssertRefused(BadImage, "run", "-k", Colinux.Path);

        Assert.Contains("use a Debian amd64 or cloud kernel", errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 1000)]
    [InlineData(1, 10)]
    [InlineData(1, 2)]
    [InlineData(9, 10)]
    [InlineData(95, 100)]
    public async Task Kernel_Truncated_IsRefused(int part, int whole)
    {
        byte[] kernel = await ReadKernelAsync();
        AssertRefused(BadImage, "run", "-k", Write("cut", kernel[..(int)((long)kernel.Length * part / whole)]));
    }

    [Fact]
    public async Task Kernel_WithDamagedPayload_IsRefused()
    {
        byte[] kernel = await ReadKernelAsync();
        kernel.AsSpan(kernel.Length / 2, 4096).Clear();
        AssertRefused(BadImage, "run", "-k", Write("damaged", kernel));
    }

    [Fact]
    public void Files_OfTheWrongKind_AreRefused()
    {
        AssertRefused(BadImage, "run", "-k", Path.Combine(_folder, "missing"));
        AssertRefused(BadImage, "run", "-k", _folder);
        AssertRefused(BadImage, "run", "-k", "6.1-cloud", "-i", Path.Combine(_folder, "missing"));
        AssertRefused(BadImage, "run", "-k", "6.1-cloud", "-i", _folder);
        AssertRefused(BadImage, "run", "-k", "6.1-cloud", "-i", Write("text", "root:x:0:0:root"u8.ToArray()));
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "--log", Path.Combine(_folder, "no", "log"));
        if (!OperatingSystem.IsWindows() && Environment.UserName != "root")
        {
            string file = Write("unreadable", new byte[1000]);
            File.SetUnixFileMode(file, UnixFileMode.None);
            AssertRefused(BadImage, "run", "-k", file);
        }
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-5")]
    [InlineData("1K")]
    [InlineData("65G")]
    [InlineData("99999999G")]
    [InlineData("99999999999999999999")]
    [InlineData("lots")]
    [InlineData("")]
    public void Memory_ThatIsNoSize_IsRefused(string size)
    {
        AssertRefused(Usage, "run", "-k", "6.1-cloud", "-m", size);
    }

    [Fact]
    public void Memory_TooSmallForTheImages_IsRefused()
    {
        string path = Path.Combine(_folder, "large.cpio");
        using (FileStream file = File.Create(path))
        {
            file.Write("070701"u8);
            file.SetLength(300 << 20);
        }

        AssertRefused(BadImage, "run", "-k", "6.1-cloud", "-i", path, "-m", "256M");
    }

    [Fact]
    public void Disks_ThatAreNone_AreRefused()
    {
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", Path.Combine(_folder, "missing"));
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", _folder);
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", Write("nothing.img", []));
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", Write("qcow.img", [(byte)'Q', (byte)'F', (byte)'I', 0xfb, .. new byte[5000]]));
        string disk = Write("disk.img", new byte[8192]);
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", $"{disk},overlay={disk}");
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", $"{disk},ro,overlay={_folder}/missing");
        AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", disk, "-d", disk);
        AssertRefused(Failed, "disk", "info", Path.Combine(_folder, "missing"));
        AssertRefused(Failed, "disk", "create", disk, "--size", "1G");
        AssertRefused(Failed, "disk", "commit", disk);
        if (OperatingSystem.IsLinux())
        {
            AssertRefused(Failed, "run", "-k", "6.1-cloud", "-d", "/dev/zero");
        }
    }

    [Theory]
    [InlineData("run", "-d", "")]
    [InlineData("run", "-d", ",ro")]
    [InlineData("run", "-d", "x,rw")]
    [InlineData("run", "-d", "x,overlay=")]
    [InlineData("run", "-d", "x,name=sda")]
    [InlineData("run", "-d", "x,name=xvda1")]
    [InlineData("run", "-d", "x,name=xvda", "-d", "y,name=xvda")]
    [InlineData("disk", "create", "x")]
    [InlineData("disk", "create", "x", "--size", "0")]
    [InlineData("disk", "create", "x", "--size", "17T")]
    [InlineData("disk", "create", "x", "--size", "large")]
    [InlineData("disk", "resize", "x")]
    public void DiskOptions_Wrong_AreRefused(params string[] arguments) => AssertRefused(Usage, arguments);

    [Theory]
    [InlineData("--nonsense")]
    [InlineData("--memory")]
    [InlineData("--trace", "everything-else")]
    [InlineData("--append", "two\nlines")]
    public void Options_Wrong_AreRefused(params string[] options)
    {
        AssertRefused(Usage, ["run", "-k", "6.1-cloud", .. options]);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static async Task<byte[]> ReadKernelAsync()
    {
        Kernel kernel = await new KernelStore(GuestCache.ForUser()).GetAsync(KernelFlavour.Cloud61, cancellationToken: TestContext.Current.CancellationToken);
        return await File.ReadAllBytesAsync(kernel.VmlinuzPath, TestContext.Current.CancellationToken);
    }

    private static string AssertRefused(int expected, params string[] arguments)
    {
        (int exitCode, string output, string errors) = Colinux.Run(arguments);

        Assert.True(exitCode == expected, $"exit code {exitCode} for {string.Join(' ', arguments)}: {errors}");
        Assert.Empty(output);
        Assert.StartsWith("colinux: ", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", errors, StringComparison.Ordinal);

        // A wrong command line is followed by where to find help.
        string[] lines = errors.TrimEnd('\n').Split('\n');
        Assert.True(lines.Length == 1 || (expected == Usage && lines.Length == 2 && lines[1].StartsWith("Try ", StringComparison.Ordinal)), errors);
        return errors;
    }

    private string Write(string name, byte[] content)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, content);
        return path;
    }
}
