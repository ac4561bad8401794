using System.Buffers.Binary;
using System.Runtime.InteropServices;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;
using CooperativeLinux.Monitor.Images;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>A stock kernel, unpacked, with some of its code replaced: a kernel with a bug, as a file.</summary>
internal sealed class PatchedKernel : IDisposable
{
    private const string PanicText = "sysrq triggered crash\n\0";

    private readonly KernelImage _image;
    private readonly byte[] _file;

    private PatchedKernel(string path)
    {
        _image = KernelImage.Load(path);

        // The segments are pieces of one unpacked ELF file.
        _file = MemoryMarshal.TryGetArray(_image.Segments[0].Bytes, out ArraySegment<byte> bytes)
            ? bytes.Array!
            : throw new InvalidOperationException("the kernel is not in one piece");
    }

    /// <summary>The ELF file.</summary>
    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"colinux-test-{Guid.NewGuid():N}.elf");

    /// <summary>Makes a kernel whose <c>echo c > /proc/sysrq-trigger</c> jumps to an address.</summary>
    public static async Task<PatchedKernel> WithSysrqJumpingToAsync(KernelFlavour flavour, ulong address)
    {
        PatchedKernel kernel = await LoadAsync(flavour);
        Span<byte> file = kernel._file;
        int text = file.IndexOf(System.Text.Encoding.ASCII.GetBytes(PanicText));
        Assert.True(text > 0);

        // sysrq_handle_crash ends with: mov $text, %rdi; call panic. Twelve bytes, as many as movabs $address, %rax; jmp *%rax.
        byte[] load = [0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0xe8];
        BinaryPrimitives.WriteUInt32LittleEndian(load.AsSpan(3), (uint)kernel.VirtualAddress(text));
        int code = file.IndexOf(load);
        Assert.True(code > 0);
        byte[] jump = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
        BinaryPrimitives.WriteUInt64LittleEndian(jump.AsSpan(2), address);
        jump.CopyTo(file[code..]);
        await kernel.WriteAsync();
        return kernel;
    }

    /// <summary>Makes a kernel whose first instructions are others.</summary>
    public static async Task<PatchedKernel> WithEntryAsync(KernelFlavour flavour, byte[] code)
    {
        PatchedKernel kernel = await LoadAsync(flavour);
        ulong physical = kernel._image.Notes.Entry - kernel._image.Notes.VirtualBase;
        KernelSegment segment = kernel._image.Segments.First(
            segment => physical >= segment.PhysicalAddress && physical < segment.PhysicalAddress + (ulong)segment.Bytes.Length);
        MemoryMarshal.TryGetArray(segment.Bytes[(int)(physical - segment.PhysicalAddress)..], out ArraySegment<byte> target);
        code.CopyTo(target.AsSpan());
        await kernel.WriteAsync();
        return kernel;
    }

    public void Dispose() => File.Delete(Path);

    private static async Task<PatchedKernel> LoadAsync(KernelFlavour flavour)
    {
        Kernel kernel = await new KernelStore(GuestCache.ForUser()).GetAsync(flavour, cancellationToken: TestContext.Current.CancellationToken);
        return new PatchedKernel(kernel.VmlinuzPath);
    }

    private ulong VirtualAddress(int offset)
    {
        foreach (KernelSegment segment in _image.Segments)
        {
            MemoryMarshal.TryGetArray(segment.Bytes, out ArraySegment<byte> bytes);
            if (offset >= bytes.Offset && offset < bytes.Offset + bytes.Count)
            {
                return _image.Notes.VirtualBase + segment.PhysicalAddress + (ulong)(offset - bytes.Offset);
            }
        }

        throw new InvalidOperationException("the text is not loaded");
    }

    private Task WriteAsync() => File.WriteAllBytesAsync(Path, _file, TestContext.Current.CancellationToken);
}
