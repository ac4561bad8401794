namespace CooperativeLinux.Devices.Network.Rings;

/// <summary>Numbers of the netif protocol (xen/include/public/io/netif.h).</summary>
internal static class NetworkSlot
{
    /// <summary>Bytes of a transmit slot: u32 reference, u16 offset, u16 flags, u16 id, u16 size; or an extra.</summary>
    public const int TransmitSize = 12;

    /// <summary>Bytes of a receive slot: request u16 id, u16 pad, u32 reference; response u16 id, u16 offset, u16 flags, s16 status; or an extra.</summary>
    public const int ReceiveSize = 8;

    /// <summary>Most slots with data a frame may take (XEN_NETIF_NR_SLOTS_MIN).</summary>
    public const int MaxDataSlots = 18;

    /// <summary>XEN_NETTXF_csum_blank.</summary>
    public const ushort TransmitChecksumBlank = 1;

    /// <summary>XEN_NETTXF_data_validated.</summary>
    public const ushort TransmitDataValidated = 2;

    /// <summary>XEN_NETTXF_more_data and XEN_NETRXF_more_data.</summary>
    public const ushort MoreData = 4;

    /// <summary>XEN_NETTXF_extra_info and XEN_NETRXF_extra_info.</summary>
    public const ushort ExtraInfo = 8;

    /// <summary>XEN_NETRXF_data_validated.</summary>
    public const ushort ReceiveDataValidated = 1;

    /// <summary>XEN_NETRXF_csum_blank.</summary>
    public const ushort ReceiveChecksumBlank = 2;

    /// <summary>XEN_NETIF_EXTRA_TYPE_GSO.</summary>
    public const byte ExtraGso = 1;

    /// <summary>XEN_NETIF_EXTRA_TYPE_MAX: the first number without a meaning.</summary>
    public const byte ExtraTypes = 7;

    /// <summary>XEN_NETIF_EXTRA_FLAG_MORE.</summary>
    public const byte ExtraMore = 1;

    /// <summary>XEN_NETIF_RSP_OKAY.</summary>
    public const short StatusOkay = 0;

    /// <summary>XEN_NETIF_RSP_ERROR.</summary>
    public const short StatusError = -1;

    /// <summary>XEN_NETIF_RSP_NULL: no response, the slot held an extra.</summary>
    public const short StatusNull = 1;
}
