using CooperativeLinux.Host.Faults.Sys;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Host.Sys;

namespace CooperativeLinux.Host.Faults;

/// <summary>
/// Turns synchronous faults in emitted code into a jump: fills a <see cref="FaultRecord"/> and goes on at an address in
/// the same code, with all other registers and flags as the faulting instruction found them. No managed code runs in the
/// handler. Faults elsewhere go on to the runtime's handlers, so that its own exceptions keep working.
/// </summary>
/// <remarks>
/// The stack pointer must be valid when a fault happens: Windows delivers exceptions on the interrupted stack. The handler may use
/// the 128 bytes below the stack pointer on Windows, and leaves them alone on Linux.
/// </remarks>
public sealed unsafe class FaultDoor : IDisposable
{
    // Signal handlers and vectored handlers belong to the process, and cannot be taken out safely once somebody may have
    // chained to them. So this one table per process is unavoidable. It holds nothing but the registered ranges.
    private static readonly Lazy<FaultTable> Table = new(CreateTable);

    private readonly CodeMemory _code;
    private int _slot;

    private FaultDoor(CodeMemory code, int slot)
    {
        _code = code;
        _slot = slot;
    }

    /// <summary>Most doors open at a time in one process.</summary>
    public const int MaxDoors = FaultTable.MaxEntries;

    /// <summary>Opens the door for all of a code range. Any thread may run the code, but one at a time: there is one record.</summary>
    /// <param name="code">The range; it must outlive the door.</param>
    /// <param name="record">Where faults are recorded; in the data of <paramref name="code"/>.</param>
    /// <param name="resumeAddress">Where execution goes on; in the executable view of <paramref name="code"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">An address is not inside <paramref name="code"/>.</exception>
    /// <exception cref="InvalidOperationException">There are <see cref="MaxDoors"/> doors already.</exception>
    /// <exception cref="HostCallException">The host refuses the handler.</exception>
    public static FaultDoor Register(CodeMemory code, FaultRecord* record, byte* resumeAddress)
    {
        ArgumentNullException.ThrowIfNull(code);
        byte* first = (byte*)record;
        if (first < code.Data || first > code.Data + code.DataSize - FaultRecord.TotalSize)
        {
            throw new ArgumentOutOfRangeException(nameof(record), "The fault record is not in the data of the code.");
        }

        if (!code.ContainsCode(resumeAddress))
        {
            throw new ArgumentOutOfRangeException(nameof(resumeAddress), "The address to resume at is not in the code.");
        }

        return new FaultDoor(code, Table.Value.Add(code.Code, code.Code + code.CodeSize, record, resumeAddress));
    }

    /// <summary>Closes the door. No thread may be executing the code.</summary>
    public void Dispose()
    {
        int slot = Interlocked.Exchange(ref _slot, -1);
        if (slot >= 0)
        {
            Table.Value.Remove(slot);
            GC.KeepAlive(_code);
        }
    }

    private static FaultTable CreateTable()
    {
        IFaultInstaller installer = HostPlatform.Create().CreateFaultInstaller();
        FaultTable table = new(installer.HandlerCode);
        installer.Install(table);
        return table;
    }
}
