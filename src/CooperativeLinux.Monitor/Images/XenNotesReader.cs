using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace CooperativeLinux.Monitor.Images;

/// <summary>
/// Collects the Xen notes of a kernel: from PT_NOTE, else from SHT_NOTE, else from the <c>__xen_guest</c> string of
/// kernels before Linux 2.6.23.
/// </summary>
internal sealed class XenNotesReader
{
    private const int MaximumText = 1024;

    // Index: the bit.
    private static readonly string[] FeatureNames =
    [
        "writable_page_tables",
        "writable_descriptor_tables",
        "auto_translated_physmap",
        "supervisor_mode_kernel",
        "pae_pgdir_above_4gb",
        "mmu_pt_update_preserve_ad",
        "highmem_assist",
        "gnttab_map_avail_bits",
        "hvm_callback_vector",
        "hvm_safe_pvclock",
        "hvm_pirqs",
        "dom0",
    ];

    private readonly Dictionary<NoteType, ulong> _numbers = [];
    private readonly Dictionary<NoteType, string> _texts = [];
    private bool _isFound;

    private XenNotesReader()
    {
    }

    // The numbers of elfnote.h.
    private enum NoteType : uint
    {
        Entry = 1,
        HypercallPage = 2,
        VirtualBase = 3,
        PhysicalOffset = 4,
        XenVersion = 5,
        GuestOS = 6,
        GuestVersion = 7,
        Loader = 8,
        PaeMode = 9,
        Features = 10,
        HypervisorStart = 12,
        SuspendCancel = 14,
        InitialP2M = 15,
        ModuleStartIsFrame = 16,
        SupportedFeatures = 17,
    }

    /// <summary>Reads the notes.</summary>
    /// <exception cref="InvalidImageException">There are none with a PV entry, or they demand what is not there.</exception>
    public static XenNotes Read(ElfFile elf)
    {
        XenNotesReader reader = new();
        elf.ReadSegmentNotes("Xen"u8, reader.Add);
        if (!reader._isFound)
        {
            elf.ReadSectionNotes("Xen"u8, reader.Add);
        }

        if (!reader._isFound)
        {
            reader.AddGuestString(elf.SectionBytes("__xen_guest"u8).Span, elf.Entry);
        }

        return reader.ToNotes();
    }

    private static string ToText(ReadOnlySpan<byte> content)
    {
        int end = content.IndexOf((byte)0);
        return Encoding.Latin1.GetString(end < 0 ? content : content[..end]);
    }

    private void Add(uint type, ReadOnlyMemory<byte> note)
    {
        ReadOnlySpan<byte> content = note.Span;
        NoteType key = (NoteType)type;
        switch (key)
        {
            case NoteType.XenVersion or NoteType.GuestOS or NoteType.GuestVersion or NoteType.Loader
                or NoteType.Features:
                _texts[key] = ToText(content[..Math.Min(content.Length, MaximumText)]);
                _isFound = true;
                break;
            case NoteType.Entry or NoteType.HypercallPage or NoteType.VirtualBase or NoteType.PhysicalOffset
                or NoteType.HypervisorStart or NoteType.SuspendCancel or NoteType.InitialP2M
                or NoteType.ModuleStartIsFrame or NoteType.SupportedFeatures:
                _numbers[key] = content.Length switch
                {
                    4 => BinaryPrimitives.ReadUInt32LittleEndian(content),
                    8 => BinaryPrimitives.ReadUInt64LittleEndian(content),
                    _ => throw new InvalidImageException($"the kernel has a bad Xen note of type {type}"),
                };
                _isFound = true;
                break;
            default:
                // PVH entries and notes of later versions do not concern a PV domain.
                break;
        }
    }

    private void AddGuestString(ReadOnlySpan<byte> section, ulong elfEntry)
    {
        if (section.IsEmpty)
        {
            return;
        }

        _numbers[NoteType.Entry] = elfEntry;
        ulong? hypercallFrame = null;
        foreach (string part in ToText(section[..Math.Min(section.Length, MaximumText)]).Split(','))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? part : part[..equals];
            string value = equals < 0 ? "" : part[(equals + 1)..];
            switch (name)
            {
                case "VIRT_ENTRY":
                    _numbers[NoteType.Entry] = ParseNumber(name, value);
                    break;
                case "VIRT_BASE":
                    _numbers[NoteType.VirtualBase] = ParseNumber(name, value);
                    break;
                case "ELF_PADDR_OFFSET":
                    _numbers[NoteType.PhysicalOffset] = ParseNumber(name, value);
                    break;
                case "INIT_P2M":
                    _numbers[NoteType.InitialP2M] = ParseNumber(name, value);
                    break;
                case "HYPERCALL_PAGE":
                    hypercallFrame = ParseNumber(name, value);
                    break;
                case "XEN_VER":
                    _texts[NoteType.XenVersion] = value;
                    break;
                case "GUEST_OS":
                    _texts[NoteType.GuestOS] = value;
                    break;
                case "GUEST_VER" or "GUEST_VERSION":
                    _texts[NoteType.GuestVersion] = value;
                    break;
                case "LOADER":
                    _texts[NoteType.Loader] = value;
                    break;
                case "FEATURES":
                    _texts[NoteType.Features] = value;
                    break;
                default:
                    break;
            }
        }

        // In this old form the file's physical addresses are virtual ones unless it says otherwise, and the page
        // is given as a frame number.
        ulong virtualBase = _numbers.GetValueOrDefault(NoteType.VirtualBase);
        _numbers.TryAdd(NoteType.PhysicalOffset, virtualBase);
        if (hypercallFrame is ulong frame)
        {
            _numbers[NoteType.HypercallPage] = unchecked(virtualBase + (frame << 12));
        }
    }

    private static ulong ParseNumber(string name, string value)
    {
        bool isHex = value.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        bool isNumber = isHex
            ? ulong.TryParse(value.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong number)
            : ulong.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out number);
        return isNumber ? number : throw new InvalidImageException($"the kernel's __xen_guest string has a bad {name}");
    }

    private XenNotes ToNotes()
    {
        if (!_numbers.TryGetValue(NoteType.Entry, out ulong entry))
        {
            throw new InvalidImageException($"the kernel {KernelImage.NoPvEntry}");
        }

        string xenVersion = _texts.GetValueOrDefault(NoteType.XenVersion, "");
        if (xenVersion.Length != 0 && !xenVersion.StartsWith("xen-3.0", StringComparison.Ordinal))
        {
            throw new InvalidImageException("the kernel was not built for the Xen 3.0 interface");
        }

        (XenFeatures supported, XenFeatures required) = ParseFeatures(_texts.GetValueOrDefault(NoteType.Features, ""));
        return new XenNotes
        {
            Entry = entry,
            VirtualBase = _numbers.GetValueOrDefault(NoteType.VirtualBase),
            PhysicalOffset = _numbers.GetValueOrDefault(NoteType.PhysicalOffset),
            HypercallPage = Optional(NoteType.HypercallPage),
            InitialP2M = Optional(NoteType.InitialP2M),
            HypervisorStart = Optional(NoteType.HypervisorStart),
            ModuleStartIsFrame = _numbers.GetValueOrDefault(NoteType.ModuleStartIsFrame) != 0,
            CanCancelSuspend = _numbers.GetValueOrDefault(NoteType.SuspendCancel) != 0,
            GuestOS = _texts.GetValueOrDefault(NoteType.GuestOS, ""),
            GuestVersion = _texts.GetValueOrDefault(NoteType.GuestVersion, ""),
            XenVersion = xenVersion,
            Loader = _texts.GetValueOrDefault(NoteType.Loader, ""),
            SupportedFeatures = supported | (XenFeatures)_numbers.GetValueOrDefault(NoteType.SupportedFeatures),
            RequiredFeatures = required,
        };
    }

    private ulong? Optional(NoteType type) => _numbers.TryGetValue(type, out ulong value) ? value : null;

    private static (XenFeatures Supported, XenFeatures Required) ParseFeatures(string text)
    {
        const XenFeatures Provided = XenFeatures.WritablePageTables
            | XenFeatures.WritableDescriptorTables
            | XenFeatures.PaePgdirAbove4Gb
            | XenFeatures.MmuPtUpdatePreserveAd
            | XenFeatures.GnttabMapAvailBits;
        XenFeatures supported = XenFeatures.None;
        XenFeatures required = XenFeatures.None;
        foreach (string part in text.Split('|', ' '))
        {
            bool isRequired = part.StartsWith('!');
            int bit = Array.IndexOf(FeatureNames, isRequired ? part[1..] : part);
            XenFeatures feature = bit < 0 ? XenFeatures.None : (XenFeatures)(1ul << bit);
            supported |= feature;
            if (isRequired)
            {
                required |= feature;
                if (feature == XenFeatures.None || (feature & ~Provided) != 0)
                {
                    string name = feature == XenFeatures.None ? "unknown to us" : FeatureNames[bit];
                    throw new InvalidImageException($"the kernel requires a Xen feature that is not provided: {name}");
                }
            }
        }

        return (supported, required);
    }
}
