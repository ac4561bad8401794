using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Processor.Memory;

/// <summary>
/// Address translation of one vCPU: the contexts it keeps, and their exact invalidation when the guest changes page tables.
/// </summary>
internal sealed unsafe class Mmu : IDisposable
{
    private const int ContextCount = 16;
    private const ulong KernelHalf = 1UL << 63;

    private readonly GuestMemory _memory;
    private readonly PageTables _tables;
    private readonly SecondTlb _second = new();
    private readonly TlbContext[] _contexts = new TlbContext[ContextCount];
    private readonly EngineState* _engine;
    private readonly InlineTlb _inline;
    private readonly byte* _poison;
    private long _clock;
    private uint _kernelGeneration;

    /// <param name="inline">Entries of access sites; they follow the current context.</param>
    /// <param name="branchMiss">Host code for indirect branches to unknown targets.</param>
    public Mmu(GuestMemory memory, EngineState* engine, InlineTlb inline, byte* poison, nint branchMiss)
    {
        _inline = inline;
        _memory = memory;
        _tables = new PageTables(memory);
        _engine = engine;
        _poison = poison;
        for (int i = 0; i < ContextCount; i++)
        {
            _contexts[i] = new TlbContext(i, poison, branchMiss);
        }

        for (int i = 0; i < 4; i++)
        {
            _engine->SecondTlbs[i] = (ulong)_second.Array((TlbArray)i);
        }

        Current = _contexts[0];
        Select(Current);
    }

    /// <summary>A code page's mapping may have changed: (context, page address, frame). Context null: kernel half.</summary>
    public Action<TlbContext?, ulong, ulong>? CodeMappingChanged { get; set; }

    /// <summary>How often a context was selected or much of its TLB was emptied.</summary>
    public long Selections { get; private set; }

    public TlbContext Current { get; private set; }

    public IReadOnlyList<TlbContext> Contexts => _contexts;

    public PageTables Tables => _tables;

    /// <summary>Kernel pages whose code was entered: page address to frame.</summary>
    public Dictionary<ulong, ulong> KernelCodePages { get; } = [];

    public static bool IsKernelHalf(ulong address) => address >= KernelHalf;

    public static bool IsCanonical(ulong address) => (ulong)((long)(address << 16) >> 16) == address;

    /// <summary>Switches to the context of a kernel root. Returns whether it is another than before.</summary>
    public bool SetKernelRoot(ulong kernelRoot)
    {
        if (Current.KernelRoot == kernelRoot)
        {
            return false;
        }

        TlbContext? next = null;
        TlbContext oldest = _contexts[0];
        foreach (TlbContext context in _contexts)
        {
            if (context.KernelRoot == kernelRoot)
            {
                next = context;
            }

            if (context.LastUse < oldest.LastUse)
            {
                oldest = context;
            }
        }

        if (next == null)
        {
            next = oldest;
            next.Clear();
            next.KernelRoot = kernelRoot;
            next.UserRoot = 0;
        }

        Select(next);
        return true;
    }

    /// <summary>Makes the current context one of a user root, before user code runs in it.</summary>
    public void SetUserRoot(ulong userRoot)
    {
        if (Current.UserRoot != userRoot)
        {
            if (Current.UserRoot != 0)
            {
                Current.Clear();
                Select(Current);
            }

            Current.UserRoot = userRoot;
        }
    }

    /// <summary>Forgets a root that is no page table any more.</summary>
    public void DropRoot(ulong root)
    {
        foreach (TlbContext context in _contexts)
        {
            if (context.KernelRoot == root || context.UserRoot == root)
            {
                context.Clear();
                if (context == Current)
                {
                    Select(Current);
                }
                else
                {
                    context.KernelRoot = 0;
                    context.UserRoot = 0;
                    context.LastUse = 0;
                }
            }
        }
    }

    /// <summary>Forgets all translations of the current context; those of the kernel half go in all of them.</summary>
    public void FlushCurrent()
    {
        MarkOthersStale(keepSecond: false);
        _kernelGeneration = 0;
        Current.Clear();
        Select(Current);
    }

    public void FlushAll()
    {
        foreach (TlbContext context in _contexts)
        {
            context.ClearUserCode();
        }

        FlushCurrent();
    }

    /// <summary>A cached translation of the current context.</summary>
    public bool Find(TlbArray array, ulong address, out byte* hostPage) => _second.Find(array, address, GenerationOf(address), out hostPage);

    /// <summary>Remembers a translation for the current context; in the array of a bank too, unless that is negative.</summary>
    public void Fill(TlbArray array, int bank, ulong address, byte* hostPage)
    {
        _second.Fill(array, address, GenerationOf(address), hostPage);
        if (bank >= 0)
        {
            Current.Fill(array, bank, address, hostPage);
        }
    }

    /// <summary>Forgets one page; in the kernel half in all contexts.</summary>
    public void FlushPage(ulong address) => FlushPage(address, IsKernelHalf(address) ? uint.MaxValue : Current.Bit, keepsCode: false);

    /// <summary>An entry of a table is about to change or has changed: forgets what the old value gave.</summary>
    /// <param name="entryAddress">Guest-physical address of the entry.</param>
    /// <param name="oldValue">Value before.</param>
    /// <param name="newValue">Value after; 0 if not known.</param>
    public void EntryChanged(ulong entryAddress, ulong oldValue, ulong newValue)
    {
        if ((oldValue & Pte.Present) == 0)
        {
            return;
        }

        TableInfo* info = _tables.Info(entryAddress >> 12);
        if (info == null || info->Level == 0)
        {
            return;
        }

        if (info->Level == 1)
        {
            ulong address = info->VirtualBase + (((entryAddress >> 3) & 511) << 12);
            FlushPage(address, IsKernelHalf(address) ? uint.MaxValue : info->Contexts, KeepsCode(oldValue, newValue));
            return;
        }

        if (info->Level is 2 or 3 && IsEmptyTable((oldValue & Pte.FrameMask) >> 12, info->Level - 1))
        {
            // What it gave went when its own entries did.
            return;
        }

        foreach (TlbContext context in _contexts)
        {
            if ((info->Contexts & context.Bit) != 0)
            {
                context.ClearUserCode();
                context.IsStale = true;
                context.Generation = 0;
            }
        }

        ulong index = (entryAddress >> 3) & 511;
        if (info->Level == 4 ? index >= 256 : IsKernelHalf(info->VirtualBase))
        {
            _kernelGeneration = 0;
        }

        Select(Current);
        info->Contexts &= Current.Bit;
    }

    // Whether a frame is a table of a level, whose changes are followed, without any entry in use.
    private bool IsEmptyTable(ulong frame, int level)
    {
        TableInfo* info = _tables.Info(frame);
        if (info == null || info->Level != level)
        {
            return false;
        }

        ulong any = 0;
        foreach (ulong entry in new ReadOnlySpan<ulong>(_memory.FramePointer(frame), 512))
        {
            any |= entry;
        }

        return (any & Pte.Present) == 0;
    }

    public void MarkTable(ulong frame, int level)
    {
        TableInfo* info = _tables.Info(frame);
        if (info == null)
        {
            return;
        }

        if (level == 0)
        {
            if (info->Level == 4)
            {
                DropRoot(frame);
            }

            *info = default;
        }
        else
        {
            info->Level = (byte)level;
        }
    }

    /// <summary>Takes a page out of everything through which it could be written unnoticed.</summary>
    public void ForgetWritable(byte* hostPage)
    {
        if (!_second.MayBeWritable(hostPage))
        {
            return;
        }

        MarkOthersStale(keepSecond: true);
        Current.ForgetWritable(hostPage);
        _second.ForgetWritable(hostPage);
        Select(Current);
    }

    public void ClearStackWindows()
    {
        // No access can pass with this page unless its address is non-canonical, and then it meets the poison page.
        // It is its own negative.
        const ulong Nowhere = 0x8000_0000_0000_0000;
        _engine->KernelStackNegative = Nowhere;
        _engine->UserStackNegative = Nowhere;
        _engine->KernelStackDelta = (ulong)_poison - Nowhere;
        _engine->UserStackDelta = (ulong)_poison - Nowhere;
    }

    public void Dispose()
    {
        _tables.Dispose();
        _second.Dispose();
        foreach (TlbContext context in _contexts)
        {
            context.Dispose();
        }
    }

    // The same frame is executable before and after.
    private static bool KeepsCode(ulong oldValue, ulong newValue)
    {
        const ulong Matters = Pte.Present | Pte.User | Pte.NoExecute | Pte.FrameMask;
        return (oldValue & Matters) == (newValue & Matters) && (newValue & Pte.NoExecute) == 0;
    }

    private void FlushPage(ulong address, uint contexts, bool keepsCode)
    {
        _second.Forget(address);
        foreach (TlbContext context in _contexts)
        {
            if ((contexts & context.Bit) == 0)
            {
                continue;
            }

            if (context == Current && !IsKernelHalf(address))
            {
                _inline.Forget(address);
            }

            if (!context.IsStale)
            {
                context.Forget(address);
            }

            if (!keepsCode && context.UserCodePages.Remove(address & ~0xFFFUL, out ulong frame))
            {
                CodeMappingChanged?.Invoke(context, address & ~0xFFFUL, frame);
            }
        }

        if (!keepsCode && IsKernelHalf(address) && KernelCodePages.Remove(address & ~0xFFFUL, out ulong kernelFrame))
        {
            CodeMappingChanged?.Invoke(null, address & ~0xFFFUL, kernelFrame);
        }

        ulong page = address & ~0xFFFUL;
        if (_engine->KernelStackNegative == 0 - page || _engine->UserStackNegative == 0 - page)
        {
            ClearStackWindows();
        }
    }

    // The kernel half is the same in all contexts.
    private uint GenerationOf(ulong address) => IsKernelHalf(address) ? _kernelGeneration : Current.Generation;

    // Other contexts empty their first TLB before they are used again, and the second too unless it was seen to.
    private void MarkOthersStale(bool keepSecond)
    {
        foreach (TlbContext context in _contexts)
        {
            if (context != Current && context.KernelRoot != 0)
            {
                context.IsStale = true;
                context.Generation = keepSecond ? context.Generation : 0;
            }
        }
    }

    private uint NextGeneration()
    {
        uint generation = _second.TakeGeneration();
        if (generation == 0)
        {
            _second.Clear();
            foreach (TlbContext context in _contexts)
            {
                context.Generation = 0;
            }

            _kernelGeneration = 0;
            generation = _second.TakeGeneration();
        }

        return generation;
    }

    private void TakeGenerations()
    {
        while (Current.Generation == 0 || _kernelGeneration == 0)
        {
            // Taking one may start the numbers anew, and then both are wanted again.
            if (Current.Generation == 0)
            {
                Current.Generation = NextGeneration();
            }

            if (_kernelGeneration == 0)
            {
                _kernelGeneration = NextGeneration();
            }
        }

        _engine->Generation = Current.Generation;
        _engine->KernelGeneration = _kernelGeneration;
    }

    private void Select(TlbContext context)
    {
        Current = context;
        context.LastUse = ++_clock;
        if (context.IsStale)
        {
            context.ClearTlb();
        }

        TakeGenerations();
        for (int i = 0; i < TlbContext.ArrayCount; i++)
        {
            _engine->Tlbs[i] = (ulong)context.Array(i);
        }

        _engine->PageSlots = (ulong)context.PageSlots;
        _inline.Clear();
        ClearStackWindows();
        Selections++;
    }
}
