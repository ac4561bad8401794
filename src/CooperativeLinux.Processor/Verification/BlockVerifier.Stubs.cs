using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

// Calls of stubs that return.
internal sealed partial class BlockVerifier
{
    // The contracts of callbacks that return to their caller. All of them keep flags and guest registers, but for Interpret, and
    // all lose T1.
    //   Access       T0: guest address, which stays; T1: distance to the host address of the site's bytes. The stack window stays as it is.
    //                The stubs for a kind and a size, which come before it: T1 is the entry that T0 selects in an array of that
    //                kind, or points to an entry of the inline TLB, which they fill; T1: as before, or distance for so many bytes
    //                with the rights of the kind.
    //                Of what is only read it may be the distance to a copy.
    //                If the site is of a group, execution may go on behind the jump that follows, without any of that.
    //                If the site can bounce, execution may go on behind the jump that follows; T1: distance to a copy then.
    //   StackWindow  A stub in front of it. T0: offset in the window, T1: page size - the site's bytes -> T0: guest data. The site's
    //                bytes from there lie in the window, or execution goes on behind the jump that follows.
    //   Bounce       T0: guest address -> host address of the site's bytes or of a copy.
    //   BounceFinish T0 is lost. The stack window stays as it is.
    //   Interpret    T0 is lost. The stubs for repeated string instructions come before it.
    private bool CallStub(int index, int offset, ref AbstractState state)
    {
        bool isLookup = _accessStubs.TryGetValue(offset, out AccessStub lookup);
        if (isLookup || offset == _stubs.Callback(CallbackKind.Access) || offset == _stubs.Callback(CallbackKind.Bounce))
        {
            if (!TryOwnSite(state, stack: false, out AccessSite site))
            {
                return Fail(index, "argument is not an access site of this block");
            }

            if (state.T0.IsHost)
            {
                return Fail(index, "T0 holds no guest address");
            }

            if (isLookup && (lookup.User != IsUser || state.T1.Kind != (lookup.Inline ? ValueKind.InlineEntry : ValueKind.SelectedEntry) || state.T1.Write != lookup.Write))
            {
                return Fail(index, "T1 is not an entry that the stub may fill");
            }

            int size = isLookup ? Math.Min(site.Size, lookup.Size) : site.Size;
            bool write = site.Write && (!isLookup || lookup.Write);
            bool keepsWindow = offset != _stubs.Callback(CallbackKind.Bounce);
            Value address = AddressIn(state.T0, state);
            AfterCallback(ref state, keepsWindow);
            if (site.IsGroup && !TryPushBehindJump(index, state))
            {
                return false;
            }

            if (keepsWindow)
            {
                state.T0 = address;
                state.T1 = DeltaOf(address, size, write);
            }
            else
            {
                state.T0 = new Value(ValueKind.Pointer, 0, size, write);
            }

            return site.IsGroup || !site.CanBounce || !keepsWindow || TryPushBehindJump(index, state);
        }

        if (offset == _stubs.StackWindow(IsUser))
        {
            if (!TryOwnSite(state, stack: true, out AccessSite site))
            {
                return Fail(index, "argument is not a stack site of this block");
            }

            if (state.T0.Kind != ValueKind.StackOffset)
            {
                return Fail(index, "T0 is not an offset in the stack window");
            }

            if (state.T1 != new Value(ValueKind.WindowBound, PageBytes - site.Size))
            {
                return Fail(index, "T1 is not the bound of the site");
            }

            int low = state.T0.Low;
            AfterCallback(ref state, keepsWindow: false);
            state.T0 = Value.Guest;
            if (!TryPushBehindJump(index, state))
            {
                return false;
            }

            state.StackLow = low;
            state.StackHigh = low + site.Size;
            return true;
        }

        bool interprets = offset == _stubs.Callback(CallbackKind.Interpret) || IsStringStub(offset);
        if (interprets && !IsOwnInstruction(state))
        {
            return Fail(index, "argument is not an instruction of this block");
        }

        if (interprets || offset == _stubs.Callback(CallbackKind.BounceFinish))
        {
            AfterCallback(ref state, keepsWindow: offset == _stubs.Callback(CallbackKind.BounceFinish));
            if (interprets)
            {
                // Guest registers may have changed.
                state.Deltas = default;
            }

            return true;
        }

        return Fail(index, "call to a place that is not allowed");
    }

    // One for the block's mode: its right to memory.
    private bool IsStringStub(int offset) => _stringStubs[IsUser ? 1 : 0].Contains(offset);

    // The callback may skip exactly one jmp rel32.
    private bool TryPushBehindJump(int index, in AbstractState state)
    {
        if (index + 2 >= _count || _instructions[index + 1].Instruction.Code != Code.Jmp_rel32_64 || _instructions[index + 1].Instruction.Length != 5)
        {
            return Fail(index, "no code behind the jump that a stub may skip");
        }

        _pending.Push((index + 2, state));
        return true;
    }

    private static void AfterCallback(ref AbstractState state, bool keepsWindow)
    {
        state.T0 = Value.Secret;
        state.T1 = Value.Secret;
        state.Flags = FlagFact.None;
        state.Argument = AbstractState.NoArgument;
        state.HasTarget = false;
        if (!keepsWindow)
        {
            state.LoseStack();
        }
    }

    private bool TryOwnSite(in AbstractState state, bool stack, out AccessSite site)
    {
        site = default;
        if ((uint)state.Argument >= (uint)_region.Sites.Count)
        {
            return false;
        }

        site = _region.Sites[state.Argument];
        return site.Owner == _block && site.Stack == stack && site.Size > 0 && site.Size <= (stack ? PageBytes : site.IsGroup ? MaxAccessBytes : MaxOperandBytes);
    }

    private bool IsOwnInstruction(in AbstractState state) =>
        (uint)state.Argument < (uint)_region.Instructions.Count && _region.Instructions[state.Argument].Owner == _block;

    // The stubs that look into the second TLB first.
    private static Dictionary<int, AccessStub> FindAccessStubs(Stubs stubs)
    {
        Dictionary<int, AccessStub> found = [];
        foreach (TlbArray array in Enum.GetValues<TlbArray>())
        {
            for (int size = 1; size <= MaxAccessBytes; size *= 2)
            {
                bool user = array is TlbArray.UserRead or TlbArray.UserWrite;
                bool write = array is TlbArray.KernelWrite or TlbArray.UserWrite;
                foreach (bool group in (ReadOnlySpan<bool>)[false, true])
                {
                    int offset = stubs.Access(array, size, group);
                    if (offset != stubs.Callback(CallbackKind.Access))
                    {
                        found[offset] = new AccessStub(size, write, user, Inline: false);
                    }

                    if (user && stubs.InlineAccess(array, size, group) is int inline && inline != stubs.Callback(CallbackKind.Access))
                    {
                        found[inline] = new AccessStub(size, write, user, Inline: true);
                    }
                }
            }
        }

        return found;
    }

    private static HashSet<int> FindStringStubs(Stubs stubs, bool user)
    {
        HashSet<int> found = [];
        foreach (Code code in (ReadOnlySpan<Code>)[Code.Movsb_m8_m8, Code.Movsw_m16_m16, Code.Movsd_m32_m32, Code.Movsq_m64_m64, Code.Stosb_m8_AL, Code.Stosw_m16_AX, Code.Stosd_m32_EAX, Code.Stosq_m64_RAX])
        {
            Instruction instruction = new() { Code = code, HasRepPrefix = true, Op0Kind = OpKind.MemoryESRDI };
            if (code is Code.Movsb_m8_m8 or Code.Movsw_m16_m16 or Code.Movsd_m32_m32 or Code.Movsq_m64_m64)
            {
                instruction.Op1Kind = OpKind.MemorySegRSI;
            }

            found.Add(stubs.Repeated(instruction, user));
        }

        return found;
    }

    private readonly record struct AccessStub(int Size, bool Write, bool User, bool Inline);
}
