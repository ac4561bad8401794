using System.Runtime.InteropServices;
using CooperativeLinux.Host.Faults;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

// Finding, translating and linking blocks, and the callbacks that do not return to their caller.
public sealed unsafe partial class Vcpu
{
    /// <summary>Pages whose fetches are remembered, before all is forgotten: a guest can fetch from more without any code being made.</summary>
    private const int MaxCodePages = 1 << 17;

    private readonly Dictionary<(ulong Page, ulong Frame), uint> _pageIds = [];

    // The first instruction at State.Rip runs as a careful block.
    private bool _careful;
    private bool _noStackWindow;

    // Mode whose calls the pair stack mirrors, and where the user's pairs end while the kernel runs; 0: they are lost.
    private bool _pairsUser;
    private ulong _userPairs;

    // The careful block that was entered last runs under the trap flag: a debug exception follows it.
    private bool _stepping;

    internal nint Fail(Exception failure)
    {
        _failure ??= failure;
        _stop = true;
        return (nint)(_code.Code + _stubs.Exit);
    }

    internal nint OnLink()
    {
        Statistics.Links++;
        int number = (int)_engine->Argument;
        BlockExit exit = CurrentRegion.Exits[number];
        State->Rip = exit.Target;
        _noStackWindow = exit.Variant == BlockVariant.NoStackWindow;
        long flushes = _cache.Flushes;
        Block? block = NextBlock();
        if (block == null)
        {
            return ExitCode();
        }

        bool samePage = ((exit.Target ^ exit.Owner.Key.Virtual) & ~0xFFFUL) == 0;
        bool checkedEntry = block.Key.User && !samePage;
        if (flushes == _cache.Flushes && exit.Owner.Key.Variant != BlockVariant.Careful && block.Key.Virtual == exit.Target && block.Key.User == exit.Owner.Key.User
            && block.Key.Variant != BlockVariant.Careful && (exit.Variant == BlockVariant.Normal || block.Key.Variant == exit.Variant)
            && (samePage || block.Key.User || Mmu.IsKernelHalf(exit.Target)))
        {
            _cache.Link(number, block, checkedEntry ? block.CheckedEntry : block.Entry);
        }

        return EntryOf(block);
    }

    internal nint OnDispatch()
    {
        Statistics.Dispatches++;
        State->Rip = _engine->Scratch0;
        TakeParkedFlags();
        return Continue();
    }

    internal nint OnPoll()
    {
        Statistics.Polls++;

        // Also reached when the pair stack is full and nobody asked for a poll.
        _resetPairs = true;
        return Continue();
    }

    internal nint OnPageCheck()
    {
        Statistics.PageChecks++;
        return Continue();
    }

    internal nint OnSyscall()
    {
        Statistics.Syscalls++;
        _stepping = false;
        _environment.OnSyscall(this);
        return Continue();
    }

    internal nint OnEnvironment()
    {
        Statistics.EnvironmentCalls++;
        Instruction instruction = CurrentRegion.Instructions[(int)_engine->Argument].Instruction;
        _environment.OnInstruction(this, instruction);
        _stepping &= State->Rip == instruction.NextIP;
        return Continue();
    }

    internal nint OnRaise()
    {
        byte vector = (byte)_engine->Argument;
        if (vector == GuestException.InvalidOpcode)
        {
            CountUndefined();
        }

        Raise(new GuestException(vector));
        return Continue();
    }

    internal nint OnFault()
    {
        FaultRecord fault = _engine->Fault;
        int offset = (int)((byte*)fault.Rip - _code.Code);
        Block block = _cache.FindByHostOffset(offset)
            ?? throw new InvalidOperationException($"Host fault {fault.Kind} at {fault.Address:x} in the engine's own code (offset {offset:x}).");
        FaultPoint point = FindFaultPoint(block, offset);
        State->Rip = block.Key.Virtual + point.GuestOffset;
        if (point.FlagsParked)
        {
            TakeParkedFlags();
        }

        if (point.ParkedRegister != 255)
        {
            State->Registers[point.ParkedRegister] = _engine->Park1;
        }

        GuestException exception;
        switch (fault.Kind)
        {
            case FaultKind.Arithmetic:
                exception = new GuestException(GuestException.DivideError);
                break;
            case FaultKind.FloatingPoint:
                exception = new GuestException(_interpreter.IsX87ErrorPending && IsX87At(State->Rip) ? GuestException.FloatingPoint : GuestException.SimdFloatingPoint);
                break;
            case FaultKind.AccessViolation when fault.Address - (ulong)_code.Poison >= CodeMemory.GuardSize:
                throw new InvalidOperationException($"Host access to {fault.Address:x} in a block at {State->Rip:x}.");
            case FaultKind.AccessViolation or FaultKind.Bus or FaultKind.GeneralProtection:
                // Every confined address is mapped, but for the poison page: what is left is alignment and non-canonical stacks.
                exception = new GuestException(GuestException.GeneralProtection);
                break;
            case FaultKind.IllegalInstruction:
                // In the guest's set, but not in this host's.
                CountUndefined();
                exception = new GuestException(GuestException.InvalidOpcode);
                break;
            default:
                throw new InvalidOperationException($"Host fault {fault.Kind} in a block at {State->Rip:x}.");
        }

        Raise(exception);
        return Continue();
    }

    /// <summary>Host address where the guest goes on from <see cref="State"/>, after events and with all exceptions of the
    /// instruction fetch delivered.</summary>
    private nint Continue()
    {
        if (TryContinueKnown(out nint entry))
        {
            return entry;
        }

        Block? block = NextBlock();
        return block == null ? ExitCode() : EntryOf(block);
    }

    private void Raise(in GuestException exception)
    {
        _stepping = false;
        _environment.OnException(this, exception);
    }

    // Where the block is that called.
    private CodeRegion CurrentRegion => _cache.Of(State->UserMode != 0);

    private nint ExitCode() => (nint)(_code.Code + _stubs.Exit);

    private nint EntryOf(Block block)
    {
        if (_stepping)
        {
            _engine->BranchTable = (ulong)_noBranches.Pointer;
            _engine->ResumeRsp = _engine->PairBase;
            _resetPairs = true;
            return (nint)(_code.Code + block.Entry);
        }

        bool user = block.Key.User;
        BranchTable table = user ? _mmu.Current.UserBranches : _kernelBranches;
        bool usual = block.Key.Variant == BlockVariant.Normal || (_options.NoStackWindows && block.Key.Variant == BlockVariant.NoStackWindow);
        if (usual && (user || Mmu.IsKernelHalf(block.Key.Virtual)))
        {
            table.Set(block, (nint)(_code.Code + block.IndirectEntry));
        }

        return Enter(block, table);
    }

    private nint Enter(Block block, BranchTable table)
    {
        bool user = State->UserMode != 0;
        bool sampling = user && _samples > 0;
        if (_resetPairs || _pairsUser != user || sampling)
        {
            // Behind its head a block does not look whether there is room for a call.
            _resetPairs |= sampling;
            SwitchPairs(user);
        }

        _engine->BranchTable = (ulong)table.Pointer;
        if (sampling)
        {
            StopAtNextBlock();
            return (nint)(_code.Code + block.Body);
        }

        return (nint)(_code.Code + block.Entry);
    }

    // A return in user mode must not find the landing of a kernel's call, nor the reverse: the kernel's pairs lie below the user's, on
    // a bottom of their own, and the user's are there again afterwards.
    private void SwitchPairs(bool user)
    {
        ulong start = _engine->PairBase & ~(Stubs.PairStackBytes - 1UL);
        ulong bottom = start + Stubs.PairStackBytes - sizeof(ulong);
        ulong resume = bottom;
        if (!_resetPairs && !user)
        {
            _userPairs = _engine->ResumeRsp;
            if (_userPairs - start > Stubs.PairStackBytes / 2)
            {
                bottom = _userPairs - sizeof(ulong);
                *(ulong*)bottom = (ulong)(_code.Code + _stubs.ReturnMiss);
                resume = bottom;
            }
            else
            {
                _userPairs = 0;
            }
        }
        else if (!_resetPairs && _userPairs != 0)
        {
            resume = _userPairs;
        }
        else
        {
            _userPairs = 0;
        }

        _engine->PairBase = bottom;
        _engine->ResumeRsp = resume;
        _resetPairs = false;
        _pairsUser = user;
    }

    // The usual case without a search: the target was entered before, and its page is known in this context.
    private bool TryContinueKnown(out nint entry)
    {
        entry = 0;
        ulong rip = State->Rip;
        if (_careful || _noStackWindow || _stepping || (State->SystemFlags & RflagsBits.Trap) != 0
            || Volatile.Read(ref _engine->Limit) == ulong.MaxValue)
        {
            return false;
        }

        bool user = State->UserMode != 0;
        if (user)
        {
            if (_samples > 0)
            {
                return false;
            }

            _mmu.SetUserRoot(UserRoot);
        }

        BranchTable table = user ? _mmu.Current.UserBranches : _kernelBranches;
        Block? block = table.Find(rip);
        if (block == null)
        {
            return false;
        }

        entry = Enter(block, table);
        return true;
    }

    private Block? NextBlock()
    {
        for (;;)
        {
            if (Volatile.Read(ref _engine->Limit) == ulong.MaxValue)
            {
                if (_stop)
                {
                    return null;
                }

                if (!IsSampling())
                {
                    AnswerPoll();
                }

                if (_stop)
                {
                    return null;
                }
            }

            if (_stepping)
            {
                Raise(new GuestException(GuestException.Debug));
            }

            bool trap = (State->SystemFlags & RflagsBits.Trap) != 0;
            BlockVariant variant = _careful || trap || _options.AlwaysCareful ? BlockVariant.Careful
                : _noStackWindow || _options.NoStackWindows ? BlockVariant.NoStackWindow : BlockVariant.Normal;
            ulong rip = State->Rip;
            bool user = State->UserMode != 0;
            if (user)
            {
                _mmu.SetUserRoot(UserRoot);
            }

            if ((user ? Math.Max(_pageIds.Count, _mmu.Current.UserCodePages.Count) : _mmu.KernelCodePages.Count) > MaxCodePages)
            {
                FlushCode(user);
            }

            if (!TryFetch(rip, user, out byte* page, out ulong frame, out GuestException fault))
            {
                Raise(fault);
                continue;
            }

            BlockKey key = new((frame << 12) | (rip & 0xFFF), rip, user, variant);
            Block? block = _cache.Find(key);
            if (block != null && user && _samples > 0 && CountSample(block))
            {
                // Code that runs often is made anew.
                block = null;
            }

            block ??= Translate(key, page);
            if (block != null)
            {
                _careful = false;
                _noStackWindow = false;
                _stepping = trap;
                return block;
            }
        }
    }

    private void AnswerPoll()
    {
        // The pair stack may also just be full: it is emptied in either case.
        _resetPairs = _running;
        ClearPoll();
        if (Interlocked.Exchange(ref _engine->PollRequested, 0) != 0)
        {
            ProcessCodeWrites();
            if (!_stop)
            {
                BeginSampling();
                _environment.OnPoll(this);
            }
        }
    }

    private void ClearPoll()
    {
        ulong pairBase = _engine->PairBase;
        Volatile.Write(ref _engine->Limit, pairBase == 0 ? 0 : pairBase & ~(Stubs.PairStackBytes - 1UL));
        Volatile.Write(ref _engine->DepthTag, 0 - (uint)(ushort)((pairBase >> Stubs.PairStackBits) - 1));
        Volatile.Write(ref _engine->PollClear, 1u);
    }

    private Block? Translate(in BlockKey key, byte* page)
    {
        if (_cache.Of(key.User).FreeBytes < BlockEmitter.MaxBlockBytes)
        {
            FlushCode(key.User);
        }

        _cache.Of(key.User).BringIn(BlockEmitter.MaxBlockBytes);
        bool hot = IsHot(key);
        if (!hot && TryMove(key, out Block? moved))
        {
            return moved;
        }

        int offset = (int)(key.Virtual & 0xFFF);
        _policy.HandsOverTimestamp = key.User && _handsOverTimestamp;
        int limit = key.Variant == BlockVariant.Careful ? 1 : _options.MaxBlockInstructions;
        int firstLength = 4096 - offset;
        byte* second = null;
        ulong secondFrame = 0;
        _decoder.Decode(page + offset, firstLength, null, key.Virtual, limit);
        if (_decoder.NeedsMoreBytes)
        {
            ulong next = (key.Virtual | 0xFFF) + 1;
            if (!TryFetch(next, key.User, out second, out secondFrame, out GuestException fault))
            {
                Raise(fault);
                return null;
            }

            _decoder.Decode(page + offset, firstLength, second, key.Virtual, 1);
        }

        if (!_cache.IsCode(key.Physical >> 12))
        {
            _mmu.ForgetWritable(page);
        }

        if (second != null && !_cache.IsCode(secondFrame))
        {
            _mmu.ForgetWritable(second);
        }

        uint pageId = key.User ? PageId(key.Virtual & ~0xFFFUL, key.Physical >> 12) : 0;
        Block block = _emitter.Emit(key, _decoder, page + offset, firstLength, second, secondFrame, pageId, hot ? _inline : null);
        if (_options.Verify)
        {
            Verify(block, pageId);
        }

        Statistics.BlocksTranslated++;
        Statistics.InstructionsTranslated += _decoder.Count;
        if (key.Variant == BlockVariant.Careful)
        {
            Statistics.CarefulBlocks++;
        }

        return block;
    }

    // The same bytes were translated for another address: the block is a copy of what came of it.
    private bool TryMove(in BlockKey key, out Block? block)
    {
        block = null;
        if (!key.User || _options.NeverMove || key.Virtual < BlockTemplate.LowestAddress || _cache.FindTemplate(key) is not BlockTemplate template)
        {
            return false;
        }

        if (template.SecondFrame != 0)
        {
            // Whatever is wrong there, translating the block will find it.
            ulong next = (key.Virtual | 0xFFF) + 1;
            if (!TryFetch(next, user: true, out _, out ulong frame, out _) || frame != template.SecondFrame)
            {
                return false;
            }
        }

        uint pageId = PageId(key.Virtual & ~0xFFFUL, key.Physical >> 12);
        CodeRegion region = _cache.Of(user: true);
        _asm.Position = region.Position;
        block = template.Place(key, pageId, region, _asm);
        _cache.Add(block);
        if (_options.Verify)
        {
            Verify(block, pageId);
        }

        Statistics.BlocksMoved++;
        return true;
    }

    private uint PageId(ulong page, ulong frame)
    {
        if (!_pageIds.TryGetValue((page, frame), out uint id))
        {
            id = (uint)_pageIds.Count + 1;
            _pageIds.Add((page, frame), id);
        }

        return id;
    }

    private void FlushCode(bool user)
    {
        Statistics.CacheFlushes++;
        _cache.Clear(user);
        if (user)
        {
            _hot.Clear();
            _inline.Reset();
            _pageIds.Clear();
            foreach (TlbContext context in _mmu.Contexts)
            {
                context.ClearUserCode();
            }
        }
        else
        {
            _kernelBranches.Clear();
            _mmu.KernelCodePages.Clear();
        }

        _resetPairs = true;
    }

    private FaultPoint FindFaultPoint(Block block, int hostOffset)
    {
        FaultPoint found = new(0, 0, false, 255);
        RecordList<FaultPoint> points = _cache.Of(block.Key.User).FaultPoints;
        for (int i = block.FirstFaultPoint; i < block.FirstFaultPoint + block.FaultPointCount; i++)
        {
            if (points[i].HostOffset > hostOffset)
            {
                break;
            }

            found = points[i];
        }

        return found;
    }

    private void OnBlockDropped(Block block)
    {
        Statistics.BlocksDropped++;
        _inline.Release(block);
        if (!block.Key.User)
        {
            _kernelBranches.Forget(block);
            return;
        }

        foreach (TlbContext context in _mmu.Contexts)
        {
            context.UserBranches.Forget(block);
        }
    }

    private void OnCodeMappingChanged(TlbContext? context, ulong page, ulong frame)
    {
        _resetPairs = true;
        if (context == null)
        {
            _cache.DropMapped(frame, page);
        }
        else
        {
            context.ClearUserCode();
        }
    }

    private void TakeParkedFlags()
    {
        uint image = _engine->ParkedFlags;
        State->ArithmeticFlags = ((image >> 8) & 0xD5) | ((image & 1) << 11);
    }

    // Whether the instruction belongs to the x87 and MMX world, where a pending exception is #MF. Conversions to MMX have SIMD exceptions, too.
    private bool IsX87At(ulong rip)
    {
        Instruction instruction = DecodeAt(rip);
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Register && instruction.GetOpRegister(i).IsMM())
            {
                return true;
            }
        }

        return instruction.Mnemonic == Mnemonic.Wait
            || Array.Exists(instruction.CpuidFeatures, f => f is CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU387 or CpuidFeature.MMX);
    }

    private Instruction DecodeAt(ulong rip)
    {
        Span<byte> bytes = stackalloc byte[15];
        int length = 0;
        while (length < bytes.Length && TryReadOperand(rip + (ulong)length, out byte value, out _))
        {
            bytes[length++] = value;
        }

        Decoder decoder = Decoder.Create(64, bytes[..length].ToArray(), InstructionPolicy.DecoderOptions);
        decoder.Decode(out Instruction instruction);
        return instruction;
    }

    private void CountUndefined()
    {
        Instruction instruction = DecodeAt(State->Rip);
        string name = instruction.IsInvalid ? NoInstruction : instruction.Mnemonic.ToString();
        long before = Statistics.Undefined.GetValueOrDefault(name);
        Statistics.Undefined[name] = before + 1;
        if (before == 0)
        {
            _environment.OnUndefined(this, name);
        }
    }
}
