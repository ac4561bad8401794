using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

// Callbacks of emitted code that return to their caller: accesses that no TLB served, operands over page borders, and
// instructions that are interpreted.
public sealed unsafe partial class Vcpu
{
    // The bounced operand of the careful instruction that is being carried out.
    private int _bounceLength;
    private byte* _bounceFirst;
    private byte* _bounceSecond;
    private int _bounceSplit;
    private int _bounceOffset;

    internal nint OnAccess()
    {
        Statistics.AccessMisses++;
        AccessSite site = CurrentRegion.Sites[(int)_engine->Argument];
        ulong address = _engine->Scratch0;
        if (site.IsGroup)
        {
            return OnGroup(site, address);
        }

        ulong window = StackWindow;
        if ((address & 0xFFF) + (ulong)site.Size > 4096)
        {
            return OnCrossing(site, address);
        }

        if (!TryResolve(address, site.Size, site.Write, State->UserMode != 0, site.Bank, out byte* host, out GuestException fault))
        {
            return Deliver(site, fault);
        }

        if (site.Owner.Dropped || StackWindow != window)
        {
            // The store changes the running block, or an earlier check does not hold any more: the instruction runs alone.
            return GoCareful(site);
        }

        _engine->Scratch1 = (ulong)host - address;
        return 0;
    }

    internal nint OnStackWindow()
    {
        Statistics.StackMisses++;
        AccessSite site = CurrentRegion.Sites[(int)_engine->Argument];
        ulong address = _engine->Scratch0 + StackWindow;
        bool fits = (address & 0xFFF) + (ulong)site.Size <= 4096 && Mmu.IsCanonical(address);
        if (fits && TryOpenWindow(address, site.Write))
        {
            return 0;
        }

        RestorePrecise(site);
        _noStackWindow = true;
        DropReturnAddress();
        return Continue();
    }

    // Several accesses in one page, or each by itself: nothing is decided here that only one of them may do.
    private nint OnGroup(in AccessSite site, ulong address)
    {
        if ((address & 0xFFF) + (ulong)site.Size <= 4096 && TryResolvePage(address, site.Write, site.Bank, out byte* page))
        {
            _engine->Scratch1 = (ulong)page - (address & ~0xFFFUL);
        }
        else
        {
            *(ulong*)_engine->ResumeRsp += Stubs.JumpBytes;
        }

        return 0;
    }

    // A page that can be accessed without further ado.
    private bool TryResolvePage(ulong address, bool write, int bank, out byte* page)
    {
        page = null;
        bool user = State->UserMode != 0;
        TlbArray array = (user ? TlbArray.UserRead : TlbArray.KernelRead) + (write ? 1 : 0);
        if (!Mmu.IsCanonical(address))
        {
            return false;
        }

        if (!_mmu.Find(array, address, out page))
        {
            if (_environment.IsReserved(address) || !Walk(address, write, execute: false, user, out Translation translation)
                || translation.HostPage == null || (write && _cache.IsCode(translation.Frame)))
            {
                return false;
            }

            page = translation.HostPage;
        }

        Fill(bank, array, address, page, out _);
        return true;
    }

    // An operand over a page border is copied; a written one goes back by OnBounceFinish.
    private nint OnCrossing(in AccessSite site, ulong address)
    {
        Statistics.Crossings++;
        ulong window = StackWindow;
        if (site.Write && !site.CanBounce)
        {
            return GoCareful(site);
        }

        if (!TryBounce(site, address, out byte* buffer, out GuestException fault))
        {
            return Deliver(site, fault);
        }

        _engine->Scratch1 = (ulong)buffer - address;

        if (site.Owner.Dropped || StackWindow != window)
        {
            return GoCareful(site);
        }

        if (site.Write)
        {
            *(ulong*)_engine->ResumeRsp += Stubs.JumpBytes;
        }

        return 0;
    }

    internal nint OnBounce()
    {
        AccessSite site = CurrentRegion.Sites[(int)_engine->Argument];
        ulong address = _engine->Scratch0;
        _bounceLength = 0;
        if ((address & 0xFFF) + (ulong)site.Size > 4096)
        {
            if (!TryBounce(site, address, out byte* buffer, out GuestException crossingFault))
            {
                return Deliver(site, crossingFault);
            }

            _engine->Scratch0 = (ulong)buffer;
            return 0;
        }

        if (!TryResolve(address, site.Size, site.Write, State->UserMode != 0, -1, out byte* host, out GuestException fault))
        {
            return Deliver(site, fault);
        }

        _engine->Scratch0 = (ulong)host;
        return 0;
    }

    // Copies an operand of two pages to the bounce buffer.
    private bool TryBounce(in AccessSite site, ulong address, out byte* buffer, out GuestException fault)
    {
        buffer = null;
        bool user = State->UserMode != 0;
        int inFirst = (int)(4096 - (address & 0xFFF));
        if (!Mmu.IsCanonical(address + (ulong)site.Size - 1))
        {
            fault = new GuestException(GuestException.GeneralProtection);
            return false;
        }

        if (!TryResolve(address, inFirst, site.Write, user, -1, out byte* first, out fault)
            || !TryResolve(address + (ulong)inFirst, site.Size - inFirst, site.Write, user, -1, out byte* second, out fault))
        {
            return false;
        }

        // The copy keeps the operand's alignment, which some instructions insist on.
        _bounceLength = site.Size;
        _bounceFirst = first;
        _bounceSecond = second;
        _bounceSplit = inFirst;
        _bounceOffset = (int)(address & 63);
        buffer = _engine->Bounce + _bounceOffset;
        Buffer.MemoryCopy(first, buffer, inFirst, inFirst);
        Buffer.MemoryCopy(second, buffer + inFirst, site.Size - inFirst, site.Size - inFirst);
        return true;
    }

    internal nint OnBounceFinish()
    {
        if (_bounceLength > 0)
        {
            byte* buffer = _engine->Bounce + _bounceOffset;
            Buffer.MemoryCopy(buffer, _bounceFirst, _bounceSplit, _bounceSplit);
            Buffer.MemoryCopy(buffer + _bounceSplit, _bounceSecond, _bounceLength - _bounceSplit, _bounceLength - _bounceSplit);
            _bounceLength = 0;
        }

        return 0;
    }

    internal nint OnInterpret()
    {
        Statistics.Interpreted++;
        (Instruction instruction, Block owner) = CurrentRegion.Instructions[(int)_engine->Argument];
        ulong window = StackWindow;
        if (!_interpreter.Execute(instruction, out GuestException fault, out bool finished))
        {
            Raise(fault);
            DropReturnAddress();
            return Continue();
        }

        if (!finished)
        {
            // A long repetition makes way for an event; the instruction goes on from its registers.
            DropReturnAddress();
            return Continue();
        }

        bool trap = (State->SystemFlags & RflagsBits.Trap) != 0;
        if (owner.Dropped || StackWindow != window || trap != _stepping)
        {
            State->Rip += (ulong)instruction.Length;
            DropReturnAddress();
            return Continue();
        }

        return 0;
    }

    private nint Deliver(in AccessSite site, in GuestException fault)
    {
        RestorePrecise(site);
        Raise(site.StackSegment && fault.Vector == GuestException.GeneralProtection ? new GuestException(GuestException.StackFault) : fault);
        DropReturnAddress();
        return Continue();
    }

    private nint GoCareful(in AccessSite site)
    {
        RestorePrecise(site);
        _careful = true;
        DropReturnAddress();
        return Continue();
    }

    private void RestorePrecise(in AccessSite site)
    {
        State->Rip = site.Rip;
        if (site.FlagsParked)
        {
            TakeParkedFlags();
        }
    }

    // A callback that was called, but goes on elsewhere.
    private void DropReturnAddress() => _engine->ResumeRsp += 8;
}
