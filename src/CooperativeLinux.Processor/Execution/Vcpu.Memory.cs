using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

// Address translation for emitted code, for the interpreter and for the monitor.
public sealed unsafe partial class Vcpu
{
    private readonly ConcurrentQueue<(ulong Frame, int Offset, int Length)> _codeWrites = new();
    private readonly byte[] _onesPage = CreateOnes();
    private int _managedThread;

    public ulong KernelRoot => _mmu.Current.KernelRoot;

    public ulong UserRoot { get; private set; }

    /// <summary>Loads the page-table roots (frame numbers of the L4 tables) for kernel and user mode. 0 as user root: none.</summary>
    public void SetRoots(ulong kernelRoot, ulong userRoot)
    {
        _resetPairs |= _mmu.SetKernelRoot(kernelRoot) || UserRoot != userRoot;
        UserRoot = userRoot;
    }

    /// <summary>Forgets all cached translations of the current roots (kernel half: of all roots).</summary>
    public void FlushTlb()
    {
        Statistics.TlbFlushes++;
        _mmu.FlushCurrent();
        _resetPairs = true;
    }

    /// <summary>Forgets all cached translations of all roots.</summary>
    public void FlushAllTlbs()
    {
        Statistics.TlbFlushes++;
        _mmu.FlushAll();
        _resetPairs = true;
    }

    /// <summary>Forgets one page in both current roots (kernel half: in all roots).</summary>
    public void FlushPage(ulong address)
    {
        Statistics.PageFlushes++;
        _mmu.FlushPage(address);
    }

    /// <summary>Tells that an entry of a page table was written by the monitor (mmu_update, update_va_mapping), so that exactly the
    /// translations that used the old entry are forgotten.</summary>
    /// <param name="entryAddress">Guest-physical address of the 8-byte entry.</param>
    /// <param name="oldValue">Value before.</param>
    /// <param name="newValue">Value now.</param>
    public void OnPageTableEntryWritten(ulong entryAddress, ulong oldValue, ulong newValue)
    {
        if (oldValue != newValue)
        {
            _mmu.EntryChanged(entryAddress, oldValue, newValue);
        }
    }

    /// <summary>Marks a frame as page table of a level (1 to 4), or unmarks it (0). Kernel writes through read-only mappings of a marked
    /// level-1 frame are carried out and their effect on translations applied; other writes to read-only pages fault.
    /// Frames that the walker used as tables count as marked too.</summary>
    public void MarkPageTable(ulong frame, int level) => _mmu.MarkTable(frame, level);

    /// <summary>Translates an address. With <paramref name="asUser"/> false kernel rights are used. Sets accessed and dirty bits as an access does.</summary>
    /// <param name="address">Virtual address.</param>
    /// <param name="kind">Access that is to be made.</param>
    /// <param name="asUser">Whether user rights apply.</param>
    /// <param name="physical">Guest-physical address (may be in a special frame).</param>
    /// <param name="fault">The fault to deliver if the result is false.</param>
    public bool TryTranslate(ulong address, AccessKind kind, bool asUser, out ulong physical, out GuestException fault)
    {
        physical = 0;
        fault = default;
        if (!Mmu.IsCanonical(address))
        {
            fault = new GuestException(GuestException.GeneralProtection);
            return false;
        }

        if (Walk(address, kind == AccessKind.Write, kind == AccessKind.Execute, asUser, out Translation translation))
        {
            physical = (translation.Frame << 12) | (address & 0xFFF);
            return true;
        }

        fault = new GuestException(GuestException.PageFault, translation.Error, address);
        return false;
    }

    /// <summary>Reads virtual memory with kernel rights. All or nothing.</summary>
    public bool TryReadVirtual(ulong address, Span<byte> destination, out GuestException fault) => TryCopy(address, destination, write: false, user: false, out fault);

    public bool TryReadVirtual<T>(ulong address, out T value, out GuestException fault) where T : unmanaged
    {
        value = default;
        return TryCopy(address, new Span<byte>(Unsafe.AsPointer(ref value), sizeof(T)), write: false, user: false, out fault);
    }

    /// <summary>Writes virtual memory with kernel rights. All or nothing.</summary>
    public bool TryWriteVirtual(ulong address, ReadOnlySpan<byte> source, out GuestException fault)
    {
        fixed (byte* bytes = source)
        {
            return TryCopy(address, new Span<byte>(bytes, source.Length), write: true, user: false, out fault);
        }
    }

    public bool TryWriteVirtual<T>(ulong address, T value, out GuestException fault) where T : unmanaged =>
        TryCopy(address, new Span<byte>(&value, sizeof(T)), write: true, user: false, out fault);

    /// <summary>Reads with the rights of the current mode, for operands of instructions the monitor carries out.</summary>
    public bool TryReadOperand<T>(ulong address, out T value, out GuestException fault) where T : unmanaged
    {
        value = default;
        return TryCopy(address, new Span<byte>(Unsafe.AsPointer(ref value), sizeof(T)), write: false, State->UserMode != 0, out fault);
    }

    public bool TryWriteOperand<T>(ulong address, T value, out GuestException fault) where T : unmanaged =>
        TryCopy(address, new Span<byte>(&value, sizeof(T)), write: true, State->UserMode != 0, out fault);

    /// <summary>Linear address of an instruction's memory operand, from the current state.</summary>
    public ulong EffectiveAddress(in Instruction instruction)
    {
        ulong address;
        if (instruction.IsIPRelativeMemoryOperand)
        {
            address = instruction.IPRelativeMemoryAddress;
        }
        else
        {
            address = instruction.MemoryDisplacement64;
            if (instruction.MemoryBase != Register.None)
            {
                address += GetRegister(instruction.MemoryBase.GetFullRegister());
            }

            if (instruction.MemoryIndex != Register.None && !instruction.IsVsib)
            {
                address += GetRegister(instruction.MemoryIndex.GetFullRegister()) * (ulong)instruction.MemoryIndexScale;
            }

            if (instruction.MemoryBase.IsGPR32() || instruction.MemoryIndex.IsGPR32())
            {
                address = (uint)address;
            }
        }

        return address + SegmentBase(instruction.SegmentPrefix);
    }

    internal ulong SegmentBase(Register prefix) => prefix switch
    {
        Register.FS => State->FsBase,
        Register.GS => State->GsBase,
        _ => 0,
    };

    /// <summary>Reads a general register by its Iced name, zero-extended.</summary>
    public ulong GetRegister(Register register)
    {
        ulong value = State->Registers[register.GetFullRegister().GetNumber()];
        return register.GetSize() switch
        {
            8 => value,
            4 => (uint)value,
            2 => (ushort)value,
            _ => register is Register.AH or Register.BH or Register.CH or Register.DH ? (byte)(value >> 8) : (byte)value,
        };
    }

    /// <summary>Writes a general register by its Iced name with the architecture's rules (32-bit writes zero-extend).</summary>
    public void SetRegister(Register register, ulong value)
    {
        ref ulong full = ref State->Registers[register.GetFullRegister().GetNumber()];
        full = register.GetSize() switch
        {
            8 => value,
            4 => (uint)value,
            2 => (full & ~0xFFFFUL) | (ushort)value,
            _ => register is Register.AH or Register.BH or Register.CH or Register.DH
                ? (full & ~0xFF00UL) | ((ulong)(byte)value << 8)
                : (full & ~0xFFUL) | (byte)value,
        };
    }

    /// <summary>Host address for an access that lies in one page; fills the second TLB, and the given bank of the first unless it is
    /// negative, where that is allowed.</summary>
    internal bool TryResolve(ulong address, int size, bool write, bool user, int bank, out byte* host, out GuestException fault)
    {
        host = null;
        fault = default;
        if (!Mmu.IsCanonical(address))
        {
            fault = new GuestException(GuestException.GeneralProtection);
            return false;
        }

        TlbArray array = (user ? TlbArray.UserRead : TlbArray.KernelRead) + (write ? 1 : 0);
        if (_mmu.Find(array, address, out byte* page))
        {
            Fill(bank, array, address, page, out host);
            return true;
        }

        if (_environment.IsReserved(address))
        {
            page = user ? null : _environment.ResolveReservedPage(this, address & ~0xFFFUL, write);
            if (page == null)
            {
                fault = new GuestException(GuestException.PageFault, (write ? PageFaultCode.Write : 0) | (user ? PageFaultCode.User : 0), address);
                return false;
            }

            Fill(bank, array, address, page, out host);
            return true;
        }

        if (!Walk(address, write, execute: false, user, out Translation translation))
        {
            if (write && !user && TryTableWrite(address, size, translation, out host))
            {
                return true;
            }

            fault = new GuestException(GuestException.PageFault, translation.Error, address);
            return false;
        }

        page = translation.HostPage;
        if (page == null)
        {
            host = (byte*)Unsafe.AsPointer(ref _onesPage[address & 0xFFF]);
            return true;
        }

        if (write && _cache.IsCode(translation.Frame))
        {
            host = page + (address & 0xFFF);
            Statistics.CodeWrites++;
            InvalidateCode(translation.Frame, (int)(address & 0xFFF), size);
            return true;
        }

        Fill(bank, array, address, page, out host);
        return true;
    }

    private static byte[] CreateOnes()
    {
        // Frames that do not exist read as ones; what is written there is lost for the machine.
        byte[] page = GC.AllocateArray<byte>(4096 + 64, pinned: true);
        Array.Fill(page, (byte)0xFF);
        return page;
    }

    private void Fill(int bank, TlbArray array, ulong address, byte* page, out byte* host)
    {
        host = page + (address & 0xFFF);
        if (!_options.FlushAlways)
        {
            _mmu.Fill(array, bank, address, page);
        }
    }

    private bool Walk(ulong address, bool write, bool execute, bool user, out Translation translation)
    {
        ulong root = user ? UserRoot : _mmu.Current.KernelRoot;
        return _mmu.Tables.TryWalk(root, address, write, execute, user, _mmu.Current.Bit, out translation);
    }

    // A kernel's write to a live level-1 table through its read-only mapping. Not through a user's mapping: a frame that was a
    // table once may be a page there that is shared until it is written.
    private bool TryTableWrite(ulong address, int size, in Translation translation, out byte* host)
    {
        host = null;
        if ((translation.Error & PageFaultCode.Present) == 0 || !Mmu.IsKernelHalf(address))
        {
            return false;
        }

        TableInfo* info = _mmu.Tables.Info(translation.Frame);
        if (info == null || info->Level != 1)
        {
            return false;
        }

        Statistics.TableWrites++;
        byte* page = Memory.FramePointer(translation.Frame);
        int first = (int)(address & 0xFFF);
        for (int offset = first & ~7; offset < first + size; offset += 8)
        {
            _mmu.EntryChanged((translation.Frame << 12) | (uint)offset, *(ulong*)(page + offset), 0);
        }

        host = page + first;
        return true;
    }

    private bool TryOpenWindow(ulong address, bool write)
    {
        bool user = State->UserMode != 0;
        TlbArray array = user ? TlbArray.UserWrite : TlbArray.KernelWrite;
        if (!_mmu.Find(array, address, out byte* page))
        {
            if (_environment.IsReserved(address) || !Walk(address, write, execute: false, user, out Translation translation)
                || !translation.Writable || !translation.Dirty || translation.HostPage == null || _cache.IsCode(translation.Frame))
            {
                return false;
            }

            page = translation.HostPage;
            _mmu.Fill(array, -1, address, page);
        }

        ulong pageAddress = address & ~0xFFFUL;
        if (user)
        {
            _engine->UserStackNegative = 0 - pageAddress;
            _engine->UserStackDelta = (ulong)page - pageAddress;
        }
        else
        {
            _engine->KernelStackNegative = 0 - pageAddress;
            _engine->KernelStackDelta = (ulong)page - pageAddress;
        }

        return true;
    }

    private ulong StackWindow => 0 - (State->UserMode != 0 ? _engine->UserStackNegative : _engine->KernelStackNegative);

    private bool TryFetch(ulong address, bool user, out byte* page, out ulong frame, out GuestException fault)
    {
        page = null;
        frame = 0;
        fault = default;
        if (!Mmu.IsCanonical(address))
        {
            fault = new GuestException(GuestException.GeneralProtection);
            return false;
        }

        ulong pageAddress = address & ~0xFFFUL;
        Dictionary<ulong, ulong> known = user || !Mmu.IsKernelHalf(address) ? _mmu.Current.UserCodePages : _mmu.KernelCodePages;
        if (user == !Mmu.IsKernelHalf(address) && known.TryGetValue(pageAddress, out frame))
        {
            page = Memory.FramePointer(frame);
        }
        else
        {
            if (_environment.IsReserved(address) || !Walk(address, write: false, execute: true, user, out Translation translation))
            {
                uint error = PageFaultCode.Fetch | (user ? PageFaultCode.User : 0);
                if (!_environment.IsReserved(address))
                {
                    _ = Walk(address, write: false, execute: true, user, out Translation failed);
                    error = failed.Error;
                }

                fault = new GuestException(GuestException.PageFault, error, address);
                return false;
            }

            frame = translation.Frame;
            page = translation.HostPage;
            if (page == null || frame >= Memory.FrameCount)
            {
                fault = new GuestException(GuestException.PageFault, translation.Error, address);
                return false;
            }

            if (user == !Mmu.IsKernelHalf(address))
            {
                known[pageAddress] = frame;
            }
        }

        if (user)
        {
            uint id = PageId(pageAddress, frame);
            ((uint*)_mmu.Current.PageSlots)[TlbContext.PageSlot(id)] = id;
        }

        return true;
    }

    internal bool TryCopy(ulong address, Span<byte> bytes, bool write, bool user, out GuestException fault)
    {
        fault = default;
        if (!Mmu.IsCanonical(address + (ulong)bytes.Length - 1) && bytes.Length > 0)
        {
            fault = new GuestException(GuestException.GeneralProtection);
            return false;
        }

        int first = (int)Math.Min((ulong)bytes.Length, 4096 - (address & 0xFFF));
        byte* host = null;

        // Both sides of a page border are checked before anything is copied; more pages one after the other.
        for (int done = 0; done < bytes.Length;)
        {
            ulong at = address + (ulong)done;
            int part = (int)Math.Min((ulong)(bytes.Length - done), 4096 - (at & 0xFFF));
            if (!TryResolve(at, part, write, user, -1, out host, out fault))
            {
                return false;
            }

            done += part;
        }

        if (first == bytes.Length)
        {
            Span<byte> guest = new(host, first);
            if (write)
            {
                bytes.CopyTo(guest);
            }
            else
            {
                guest.CopyTo(bytes);
            }

            return true;
        }

        for (int done = 0; done < bytes.Length;)
        {
            ulong at = address + (ulong)done;
            int part = (int)Math.Min((ulong)(bytes.Length - done), 4096 - (at & 0xFFF));
            if (!TryResolve(at, part, write, user, -1, out host, out fault))
            {
                return false;
            }

            Span<byte> guest = new(host, part);
            if (write)
            {
                bytes.Slice(done, part).CopyTo(guest);
            }
            else
            {
                guest.CopyTo(bytes.Slice(done, part));
            }

            done += part;
        }

        return true;
    }

    private void InvalidateCode(ulong frame, int offset, int length)
    {
        _cache.Invalidate(frame, offset, length);
    }

    private void OnCodeWritten(ulong frame, int offset, int length)
    {
        if (Environment.CurrentManagedThreadId == _managedThread)
        {
            InvalidateCode(frame, offset, length);
            return;
        }

        _codeWrites.Enqueue((frame, offset, length));
        RequestPoll();
    }

    private void ProcessCodeWrites()
    {
        while (_codeWrites.TryDequeue(out (ulong Frame, int Offset, int Length) write))
        {
            InvalidateCode(write.Frame, write.Offset, write.Length);
        }
    }
}
