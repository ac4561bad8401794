using Microsoft.Win32.SafeHandles;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>Keeps a descriptor from being closed while it is in use; dispose it exactly once.</summary>
internal readonly struct LinuxHandleHold : IDisposable
{
    private readonly SafeFileHandle? _handle;

    private LinuxHandleHold(SafeFileHandle handle)
    {
        _handle = handle;
        Descriptor = (int)handle.DangerousGetHandle();
    }

    public int Descriptor { get; }

    /// <summary>Takes hold; false if the handle is closed.</summary>
    public static bool TryTake(SafeFileHandle handle, out LinuxHandleHold hold)
    {
        bool isHeld = false;
        try
        {
            handle.DangerousAddRef(ref isHeld);
        }
        catch (ObjectDisposedException)
        {
            isHeld = false;
        }

        hold = isHeld ? new LinuxHandleHold(handle) : default;
        return isHeld;
    }

    public void Dispose() => _handle?.DangerousRelease();
}
