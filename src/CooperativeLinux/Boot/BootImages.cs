using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Monitor.Images;

namespace CooperativeLinux.Boot;

/// <summary>What one boot starts with: a kernel and the parts of its initramfs. Read anew for each boot, since a guest may have replaced them.</summary>
internal sealed class BootImages : IDisposable
{
    /// <summary>Where Debian keeps a link to the kernel to boot (linux-update-symlinks).</summary>
    public const string DiskKernel = "vmlinuz";

    /// <summary>Where Debian keeps a link to that kernel's initramfs.</summary>
    public const string DiskInitrd = "initrd.img";

    private const int MaxInitrd = 1 << 30;

    private BootImages(KernelImage kernel, IReadOnlyList<Stream> initrd)
    {
        Kernel = kernel;
        Initrd = initrd;
    }

    public KernelImage Kernel { get; }

    public IReadOnlyList<Stream> Initrd { get; }

    /// <summary>Loads the files named in the options, or those on the machine's first disk.</summary>
    /// <param name="options">The machine.</param>
    /// <param name="disk">Its first disk, or null.</param>
    /// <exception cref="InvalidImageException">A file is not there or is no kernel.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static BootImages Load(MachineOptions options, Disk? disk)
    {
        if (options.KernelPath is not string path)
        {
            return LoadFromDisk(disk ?? throw new InvalidImageException("the machine has no kernel and no disk to take one from"), options);
        }

        List<Stream> initrd = OpenAll(options.InitrdPaths);
        try
        {
            return new BootImages(KernelImage.Load(path), initrd);
        }
        catch
        {
            initrd.ForEach(stream => stream.Dispose());
            throw;
        }
    }

    public void Dispose()
    {
        foreach (Stream stream in Initrd)
        {
            stream.Dispose();
        }
    }

    private static List<Stream> OpenAll(IReadOnlyList<string> paths)
    {
        List<Stream> streams = [];
        try
        {
            foreach (string path in paths)
            {
                FileStream file = File.OpenRead(path);
                streams.Add(file);
                if (!InitramfsFormat.IsRecognised(file))
                {
                    throw new InvalidImageException($"{path}: not an initramfs: neither a cpio archive nor a packed one");
                }
            }

            return streams;
        }
        catch
        {
            streams.ForEach(stream => stream.Dispose());
            throw;
        }
    }

    private static BootImages LoadFromDisk(Disk disk, MachineOptions options)
    {
        using DiskReader reader = new(disk);
        try
        {
            Ext4Volume volume = new(reader);
            byte[] kernel = volume.ReadFile(DiskKernel, KernelImage.MaximumFileSize)
                ?? throw new InvalidDataException($"it has no kernel (/{DiskKernel})");

            // Initramfs archives named in the options have precedence; a kernel without any is as it may be.
            List<Stream> initrd = options.InitrdPaths.Count > 0
                ? OpenAll(options.InitrdPaths)
                : volume.ReadFile(DiskInitrd, MaxInitrd) is { } content ? [new MemoryStream(content, writable: false)] : [];
            return new BootImages(KernelImage.Load(kernel), initrd);
        }
        catch (Exception error) when (error is InvalidDataException or InvalidImageException)
        {
            throw new InvalidImageException($"cannot boot from {disk.Description}: {error.Message}", error);
        }
    }
}
