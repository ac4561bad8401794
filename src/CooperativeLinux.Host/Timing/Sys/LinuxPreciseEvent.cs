using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Timing.Sys;

/// <summary>ppoll on an eventfd, with the thread's timer slack at its least.</summary>
internal sealed unsafe partial class LinuxPreciseEvent : PreciseEvent
{
    private const int EfdNonblock = 0x800, EfdCloexec = 0x8_0000;
    private const short PollIn = 1;
    private const int PrSetTimerSlack = 29;

    private readonly int _descriptor;
    private int _preparedThread;
    private volatile bool _isDisposed;

    internal LinuxPreciseEvent()
    {
        _descriptor = eventfd(0, EfdNonblock | EfdCloexec);
        if (_descriptor < 0)
        {
            throw HostCallException.FromLast("eventfd");
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            _ = close(_descriptor);
        }
    }

    private protected override void Sleep(ref int state, int sleeping, long nanoseconds)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);

        // By default the kernel may end a sleep 50 us late; the setting is per thread.
        if (_preparedThread != Environment.CurrentManagedThreadId)
        {
            _ = prctl(PrSetTimerSlack, 1, 0, 0, 0);
            _preparedThread = Environment.CurrentManagedThreadId;
        }

        PollDescriptor poll = new() { Descriptor = _descriptor, Events = PollIn };
        TimeSpec time = new() { Seconds = nanoseconds / 1_000_000_000, Nanoseconds = nanoseconds % 1_000_000_000 };
        if (ppoll(&poll, 1, &time, null) > 0)
        {
            ulong count;
            _ = read(_descriptor, &count, sizeof(ulong));
        }
    }

    private protected override void Wake()
    {
        if (!_isDisposed)
        {
            ulong one = 1;
            _ = write(_descriptor, &one, sizeof(ulong));
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc")]
    private static partial int ppoll(PollDescriptor* descriptors, nuint count, TimeSpec* timeout, void* signals);

    [LibraryImport("libc")]
    private static partial nint read(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc")]
    private static partial nint write(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc")]
    private static partial int close(int descriptor);

    [LibraryImport("libc")]
    private static partial int prctl(int option, nuint a, nuint b, nuint c, nuint d);

    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
