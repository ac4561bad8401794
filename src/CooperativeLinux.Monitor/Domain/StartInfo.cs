using System.Buffers.Binary;

namespace CooperativeLinux.Monitor.Domain;

/// <summary>The start_info page (Xen's public xen.h, 64-bit): 1168 bytes that tell the kernel where it is.</summary>
internal static class StartInfo
{
    /// <summary>Bytes of the structure.</summary>
    public const int Size = 1168;

    /// <summary>Longest command line in bytes, without the NUL.</summary>
    public const int MaximumCommandLine = CommandLineSize - 1;

    private const int Magic = 0;
    private const int PageCount = 32;
    private const int SharedInfo = 40;
    private const int Flags = 48;
    private const int StoreFrame = 56;
    private const int StorePort = 64;
    private const int ConsoleFrame = 72;
    private const int ConsolePort = 80;
    private const int PageTableBase = 88;
    private const int PageTableCount = 96;
    private const int FrameList = 104;
    private const int ModuleStart = 112;
    private const int ModuleLength = 120;
    private const int CommandLine = 128;
    private const int CommandLineSize = 1024;
    private const int FirstP2MFrame = 1152;
    private const int P2MFrameCount = 1160;

    private const uint ModuleStartIsFrameFlag = 8;
    private const uint VirtualP2MFlag = 16;

    /// <summary>Fills the page.</summary>
    /// <param name="page">A zeroed page.</param>
    /// <param name="layout">The domain.</param>
    /// <param name="storePort">Event channel port of xenstore.</param>
    /// <param name="consolePort">Event channel port of the console.</param>
    /// <param name="isModuleStartFrame">Whether the kernel takes the RAM disk by frame number.</param>
    /// <param name="commandLine">At most <see cref="MaximumCommandLine"/> bytes.</param>
    public static void Write(
        Span<byte> page,
        DomainLayout layout,
        uint storePort,
        uint consolePort,
        bool isModuleStartFrame,
        ReadOnlySpan<byte> commandLine)
    {
        "xen-3.0-x86_64"u8.CopyTo(page[Magic..]);
        Put(page, PageCount, layout.PageCount);
        Put(page, SharedInfo, layout.SharedInfoFrame * DomainPlan.PageSize);
        Put(page, Flags, VirtualP2MFlag | (isModuleStartFrame ? ModuleStartIsFrameFlag : 0));
        Put(page, StoreFrame, layout.StoreRingFrame);
        Put(page, StorePort, storePort);
        Put(page, ConsoleFrame, layout.ConsoleRingFrame);
        Put(page, ConsolePort, consolePort);
        Put(page, PageTableBase, layout.PageTableBase);
        Put(page, PageTableCount, layout.PageTableCount);
        Put(page, FrameList, layout.P2MAddress);
        if (layout.InitialRamDiskLength != 0)
        {
            ulong first = layout.InitialRamDisk.First;
            ulong address = unchecked(layout.VirtualBase + (first * DomainPlan.PageSize));
            Put(page, ModuleStart, isModuleStartFrame ? first : address);
            Put(page, ModuleLength, layout.InitialRamDiskLength);
        }

        commandLine.CopyTo(page.Slice(CommandLine, MaximumCommandLine));
        Put(page, FirstP2MFrame, layout.FirstP2MFrame);
        Put(page, P2MFrameCount, layout.P2MFrameCount);
    }

    private static void Put(Span<byte> page, int offset, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(page[offset..], value);

    private static void Put(Span<byte> page, int offset, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(page[offset..], value);
}
