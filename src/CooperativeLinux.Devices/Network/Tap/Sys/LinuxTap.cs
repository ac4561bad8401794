using System.Runtime.InteropServices;
using System.Text;

namespace CooperativeLinux.Devices.Network.Tap.Sys;

/// <summary>A TAP interface of Linux, opened. Reading is for one thread, writing for any; <see cref="Interrupt"/> ends a wait.</summary>
internal sealed unsafe class LinuxTap : IDisposable
{
    private const string DevicePath = "/dev/net/tun";

    // struct ifreq: the name, then the flags.
    private const int RequestSize = 40;
    private const int NameSize = 16;

    private readonly int _file;
    private readonly int _interrupt;

    /// <exception cref="NetworkException">The user may not, or there is no such thing.</exception>
    public LinuxTap(string name)
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new NetworkException("TAP interfaces only exist on Linux; use --net user");
        }

        _file = LinuxTapCalls.Open(DevicePath, LinuxTapCalls.OpenFlags);
        if (_file < 0)
        {
            throw new NetworkException(Marshal.GetLastPInvokeError() switch
            {
                LinuxTapCalls.ErrorNotFound or LinuxTapCalls.ErrorNoDevice => $"this machine has no TAP interfaces ({DevicePath} is not there); use --net user",
                LinuxTapCalls.ErrorAccess or LinuxTapCalls.ErrorNotPermitted => $"this user may not open {DevicePath}; use --net user, or let the administrator permit it",
                int error => $"cannot open {DevicePath}: {Marshal.GetPInvokeErrorMessage(error)}",
            });
        }

        try
        {
            SelectInterface(name);
            int size = VirtualHeader.Size;
            Check(LinuxTapCalls.Control(_file, LinuxTapCalls.SetHeaderSize, &size), "TUNSETVNETHDRSZ");
            _interrupt = LinuxTapCalls.CreateEvent(0, LinuxTapCalls.EventFlags);
            Check(_interrupt, "eventfd");
        }
        catch
        {
            LinuxTapCalls.Close(_file);
            throw;
        }
    }

    /// <summary>Tells the host which work it may leave to the guest.</summary>
    public void SetOffload(bool segmentationV4, bool segmentationV6)
    {
        int flags = LinuxTapCalls.OffloadChecksum
            | (segmentationV4 ? LinuxTapCalls.OffloadV4 : 0)
            | (segmentationV6 ? LinuxTapCalls.OffloadV6 : 0);
        Check(LinuxTapCalls.Control(_file, LinuxTapCalls.SetOffload, (nint)flags), "TUNSETOFFLOAD");
    }

    /// <summary>Reads a frame with its header in front.</summary>
    /// <returns>Bytes; 0 if there is none now.</returns>
    public int Read(Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            return (int)Math.Max(0, LinuxTapCalls.Read(_file, start, (nuint)buffer.Length));
        }
    }

    /// <summary>Writes a frame; it is lost if the interface is down or its queue full.</summary>
    public void Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> frame)
    {
        fixed (byte* first = header, second = frame)
        {
            LinuxTapCalls.IoVector* parts = stackalloc LinuxTapCalls.IoVector[2];
            parts[0] = new LinuxTapCalls.IoVector { Base = first, Length = (nuint)header.Length };
            parts[1] = new LinuxTapCalls.IoVector { Base = second, Length = (nuint)frame.Length };
            LinuxTapCalls.WriteVector(_file, parts, 2);
        }
    }

    /// <summary>Waits until there is a frame, or for <see cref="Interrupt"/>.</summary>
    /// <returns>False if the interface is gone.</returns>
    public bool Wait()
    {
        LinuxTapCalls.PollEntry* entries = stackalloc LinuxTapCalls.PollEntry[2];
        entries[0] = new LinuxTapCalls.PollEntry { File = _file, Events = LinuxTapCalls.PollIn };
        entries[1] = new LinuxTapCalls.PollEntry { File = _interrupt, Events = LinuxTapCalls.PollIn };
        return LinuxTapCalls.Poll(entries, 2, -1) < 0 || (entries[0].Returned & ~LinuxTapCalls.PollIn) == 0;
    }

    /// <summary>Ends all waits, now and later.</summary>
    public void Interrupt()
    {
        ulong value = 1;
        LinuxTapCalls.Write(_interrupt, &value, sizeof(ulong));
    }

    public void Dispose()
    {
        LinuxTapCalls.Close(_file);
        LinuxTapCalls.Close(_interrupt);
    }

    private static void Check(int result, string call)
    {
        if (result < 0)
        {
            throw new NetworkException($"the host's TAP interfaces lack what is needed: {call} failed: {Marshal.GetLastPInvokeErrorMessage()}");
        }
    }

    private void SelectInterface(string name)
    {
        byte* request = stackalloc byte[RequestSize];
        Span<byte> bytes = new(request, RequestSize);
        bytes.Clear();
        Encoding.ASCII.GetBytes(name, bytes[..(NameSize - 1)]);
        MemoryMarshal.Write(bytes[NameSize..], LinuxTapCalls.TapFlags);
        if (LinuxTapCalls.Control(_file, LinuxTapCalls.SetInterface, request) < 0)
        {
            throw new NetworkException(Marshal.GetLastPInvokeError() switch
            {
                LinuxTapCalls.ErrorNotPermitted => $"this user may not use the TAP interface {name}; the administrator makes one with: ip tuntap add dev {name} mode tap user {Environment.UserName}",
                LinuxTapCalls.ErrorBusy => $"the TAP interface {name} is in use by another program",
                LinuxTapCalls.ErrorInvalid => $"{name} is an interface of another kind than TAP",
                int error => $"cannot use the TAP interface {name}: {Marshal.GetPInvokeErrorMessage(error)}",
            });
        }
    }
}
