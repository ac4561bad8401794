using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Tests.Terminals;

/// <summary>A Linux pseudo-terminal; the slave is what a program sees as its terminal.</summary>
internal sealed unsafe partial class PseudoTerminal : IDisposable
{
    private const int ReadWriteNoControl = 0x102; // O_RDWR | O_NOCTTY
    private const nuint SetWindowSize = 0x5414;   // TIOCSWINSZ
    private bool _hasMaster = true;

    public PseudoTerminal()
    {
        Master = Check(OpenMaster(ReadWriteNoControl));
        Check(Grant(Master));
        Check(Unlock(Master));
        byte* name = stackalloc byte[64];
        Check(GetSlaveName(Master, name, 64));
        Slave = Check(Open(name, ReadWriteNoControl));
    }

    public int Master { get; }

    public int Slave { get; }

    /// <summary>Local and output flags of the slave's mode.</summary>
    public (uint Input, uint Output, uint Local) Mode
    {
        get
        {
            uint* attributes = stackalloc uint[16];
            Check(GetAttributes(Slave, attributes));
            return (attributes[0], attributes[1], attributes[3]);
        }
    }

    public void SetSize(ushort columns, ushort rows)
    {
        ushort* size = stackalloc ushort[4] { rows, columns, 0, 0 };
        Check(Control(Master, SetWindowSize, size));
    }

    public void Type(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            Check((int)Write(Master, start, (nuint)bytes.Length));
        }
    }

    /// <summary>What the program wrote (or the terminal echoed), at least one byte.</summary>
    public byte[] ReadScreen()
    {
        byte[] buffer = new byte[4096];
        fixed (byte* start = buffer)
        {
            return buffer[..Check((int)Read(Master, start, (nuint)buffer.Length))];
        }
    }

    public void HangUp()
    {
        _hasMaster = false;
        Check(Close(Master));
    }

    public void Dispose()
    {
        Check(Close(Slave));
        if (_hasMaster)
        {
            HangUp();
        }
    }

    private static int Check(int result) =>
        result >= 0 ? result : throw new InvalidOperationException($"Pseudo-terminal: error {Marshal.GetLastPInvokeError()}.");

    [LibraryImport("libc", EntryPoint = "posix_openpt", SetLastError = true)]
    private static partial int OpenMaster(int flags);

    [LibraryImport("libc", EntryPoint = "grantpt", SetLastError = true)]
    private static partial int Grant(int master);

    [LibraryImport("libc", EntryPoint = "unlockpt", SetLastError = true)]
    private static partial int Unlock(int master);

    [LibraryImport("libc", EntryPoint = "ptsname_r", SetLastError = true)]
    private static partial int GetSlaveName(int master, byte* name, nuint size);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true)]
    private static partial int Open(byte* name, int flags);

    [LibraryImport("libc", EntryPoint = "tcgetattr", SetLastError = true)]
    private static partial int GetAttributes(int file, uint* attributes);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(int file, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(int file, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(int file, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int file);
}
