namespace CooperativeLinux.Processor.Emission;

// What the scratch registers hold, and where the guest's flags are.
internal sealed unsafe partial class BlockEmitter
{
    private bool _flagsParked;

    // Whose distance from guest to host address T1 holds: a base group's number, or one of these.
    private const int NoDelta = -1;
    private const int OfStack = -2;
    private int _deltaInT1;

    // The guest register in memory whose value a scratch register has too, or NotHeld.
    private const int NotHeld = -1;
    private int _heldInT0;
    private int _heldInT1;

    /// <param name="scratch">A scratch register that may be lost, or -1.</param>
    private void Park(int scratch = Gpr.T1)
    {
        if (!_flagsParked)
        {
            _asm.ParkFlags(scratch);
            Lose(scratch);
            _deltaInT1 = scratch == Gpr.T1 ? NoDelta : _deltaInT1;
            _flagsParked = true;
        }
    }

    /// <inheritdoc cref="Park"/>
    private void Unpark(int scratch)
    {
        if (_flagsParked)
        {
            _asm.UnparkFlags(scratch);
            Lose(scratch);
            _flagsParked = false;
        }
    }

    private void HoldNothing()
    {
        _heldInT0 = NotHeld;
        _heldInT1 = NotHeld;
    }

    private void Hold(int scratch, int guest) => (scratch == Gpr.T0 ? ref _heldInT0 : ref _heldInT1) = guest;

    private int HolderOf(int guest) => _heldInT0 == guest ? Gpr.T0 : _heldInT1 == guest ? Gpr.T1 : -1;

    // A guest register has changed, and a scratch register has its new value.
    private void HoldOnly(int scratch, int guest)
    {
        _heldInT0 = _heldInT0 == guest ? NotHeld : _heldInT0;
        _heldInT1 = _heldInT1 == guest ? NotHeld : _heldInT1;
        Hold(scratch, guest);
    }

    // A scratch register gets another value.
    private void Lose(int scratch)
    {
        if (scratch >= 0)
        {
            Hold(scratch, NotHeld);
        }
    }

    private void LoadGuest(int scratch, int guest)
    {
        if (IsInMemory(guest))
        {
            LoadHome(scratch, guest);
        }
        else
        {
            _asm.MoveRegister(scratch, HostOf(guest));
        }
    }

    // A guest register that lives in memory, unless a scratch register still has it.
    private void LoadHome(int scratch, int guest)
    {
        int holder = HolderOf(guest);
        if (holder < 0)
        {
            _asm.LoadState(scratch, StateLayout.Register(guest));
        }
        else if (holder != scratch)
        {
            _asm.MoveRegister(scratch, holder);
        }

        Lose(scratch);
    }

    // One of the free scratch registers, and no longer free: the one that holds a guest register already, or the first.
    private int TakeScratch(Span<int> free, int guest)
    {
        int holder = HolderOf(guest);
        int at = holder < 0 ? -1 : free.IndexOf(holder);
        for (int i = 0; at < 0 && i < free.Length; i++)
        {
            at = free[i] >= 0 ? i : -1;
        }

        if (at < 0)
        {
            return -1;
        }

        int taken = free[at];
        free[at] = -1;
        return taken;
    }
}
