using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

/// <summary>What the last compare compared; only that and a branch may use it.</summary>
internal enum FlagFact : byte
{
    None,

    /// <summary>T0 with a constant.</summary>
    Bound,

    /// <summary>T1 with a constant.</summary>
    InlineBound,

    /// <summary>Host rsp with the poll limit.</summary>
    Limit,

    /// <summary>The page's id with the expected one.</summary>
    PageId,

    /// <summary>The target of an indirect branch with the block's address.</summary>
    BranchTarget,
}

/// <summary>The kept distances, by slot.</summary>
[System.Runtime.CompilerServices.InlineArray(Analysis.BaseGroups.Slots)]
internal struct BaseDeltas
{
    private Value _first;
}

/// <summary>What holds before a host instruction, on all paths that lead there.</summary>
internal struct AbstractState
{
    public const int NoArgument = -1;

    public Value T0;
    public Value T1;

    /// <summary>rcx, which serves where flags must not be touched; otherwise the guest's.</summary>
    public Value Rcx;

    /// <summary>Register that holds a host address for one instruction, by its x86 number; 0: none.</summary>
    public byte Parked;
    public Value ParkedValue;

    /// <summary>Bytes of the stack window known to be accessible, relative to guest rsp: [StackLow, StackHigh).</summary>
    public int StackLow;
    public int StackHigh;

    /// <summary>What was kept of distances from guest to host addresses off a register.</summary>
    public BaseDeltas Deltas;

    /// <summary>While flags are saved or restored, rax is kept in memory or in a scratch register: it is in memory, and it is not in rax
    /// now. What is known relative to rax holds again when it is back.</summary>
    public bool RaxKept;
    public bool RaxAway;

    public FlagFact Flags;
    public int FlagBound;

    /// <summary>Constant in the argument field, or <see cref="NoArgument"/>.</summary>
    public int Argument;

    /// <summary>Host return addresses that the block has pushed; 2 stands for a contradiction.</summary>
    public byte Depth;

    /// <summary>The block was entered rightly: its page's mapping was checked, or the target of the branch that came here.</summary>
    public bool Admitted;

    /// <summary>No poll is wanted.</summary>
    public bool Polled;

    /// <summary>There is room for a host call.</summary>
    public bool HasRoom;

    /// <summary>The target of an indirect branch was stored.</summary>
    public bool HasTarget;

    /// <summary>Where other code enters a block.</summary>
    /// <param name="admitted">False: the block must check first.</param>
    public static AbstractState Entry(bool admitted) => new()
    {
        T0 = Value.Secret,
        T1 = Value.Secret,
        Argument = NoArgument,
        Admitted = admitted,
    };

    /// <summary>Where a guest return lands: T0 is the guest's return address.</summary>
    public static AbstractState Landing => new()
    {
        T0 = Value.Guest,
        T1 = Value.Secret,
        Argument = NoArgument,
        Admitted = true,
        Polled = true,
    };

    /// <summary>Puts a value in T0; what T1 holds in relation to the old one is not known any more.</summary>
    public void SetT0(in Value value)
    {
        T0 = value;
        if (T1.Kind is ValueKind.AddressCopy or ValueKind.AddressShifted or ValueKind.EntryOffset
            or ValueKind.FullCopy or ValueKind.InlineOffset or ValueKind.InlineChecked)
        {
            T1 = Value.Guest;
        }
        else if (T1.Kind is ValueKind.SelectedEntry or ValueKind.MatchedEntry)
        {
            T1 = Value.Secret;
        }
        else if (T1.Kind == ValueKind.AddressDelta)
        {
            T1 = T1.OffBase;
        }

        if (Flags is FlagFact.Bound or FlagFact.InlineBound)
        {
            Flags = FlagFact.None;
        }
    }

    public void SetT1(in Value value)
    {
        T1 = value;
        if (Flags == FlagFact.InlineBound)
        {
            Flags = FlagFact.None;
        }

        if (T0.Kind is ValueKind.PageOffset or ValueKind.CheckedOffset or ValueKind.CheckedAddress)
        {
            T0 = Value.Guest;
        }
    }

    /// <summary>Guest rsp has grown by a constant.</summary>
    public void MoveStack(int change)
    {
        StackLow -= change;
        StackHigh -= change;
        LosePageDistances();
        if (T0.Kind is ValueKind.StackAddress or ValueKind.StackOffset)
        {
            T0 = T0 with { Low = T0.Low - change };
        }
    }

    /// <summary>Guest rsp is not known any more.</summary>
    public void LoseStack()
    {
        StackLow = 0;
        StackHigh = 0;
        LosePageDistances();
        if (T0.Kind is ValueKind.StackAddress or ValueKind.StackOffset)
        {
            SetT0(Value.Guest);
        }
    }

    /// <summary>Whether what is known relative to a register may be used.</summary>
    public readonly bool IsBase(byte register) => register != VerifiedRegisters.Rax || !RaxAway;

    /// <summary>rax was stored where it is kept.</summary>
    public void KeepRax()
    {
        if (RaxAway)
        {
            DropRax();
        }

        RaxKept = true;
    }

    /// <summary>rax was copied to a scratch register.</summary>
    public void CopyRax(Register scratch)
    {
        if (RaxAway)
        {
            DropRax();
        }

        if (scratch == Register.R10)
        {
            SetT0(new Value(ValueKind.RaxCopy));
        }
        else
        {
            SetT1(new Value(ValueKind.RaxCopy));
        }
    }

    /// <summary>What was known relative to rax is lost if rax is away and nothing keeps it.</summary>
    public void SettleRax()
    {
        if (RaxAway && !HasRax)
        {
            DropRax();
        }
    }

    private readonly bool HasRax => RaxKept || T0.Kind == ValueKind.RaxCopy || T1.Kind == ValueKind.RaxCopy;

    /// <summary>What is kept is not rax any more.</summary>
    public void DropRax()
    {
        RaxKept = false;
        T0 = T0.Kind == ValueKind.RaxCopy ? Value.Guest : T0;
        T1 = T1.Kind == ValueKind.RaxCopy ? Value.Guest : T1;
        if (RaxAway)
        {
            RaxAway = false;
            LoseBase(VerifiedRegisters.Rax);
        }
    }

    /// <summary>A register has changed: what is known relative to it is lost.</summary>
    public void LoseBase(byte register)
    {
        if (register == VerifiedRegisters.Rax && HasRax)
        {
            RaxAway = true;
            return;
        }

        byte number = (byte)(register + 1);
        T0 = WithoutBase(T0, number);
        T1 = WithoutBase(T1, number);
        for (int slot = 0; slot < Analysis.BaseGroups.Slots; slot++)
        {
            if (Deltas[slot].Base == number)
            {
                Deltas[slot] = default;
            }
        }
    }

    private static Value WithoutBase(in Value value, byte number)
    {
        if (value.Base != number && value.Index != number)
        {
            return value;
        }

        return value.Kind switch
        {
            ValueKind.IndexedAddress or ValueKind.BaseAddress or ValueKind.InlineOffset or ValueKind.InlineChecked => Value.Guest,
            ValueKind.BaseDelta => Value.Secret,
            _ => value with { Base = 0, Offset = 0, Index = 0, Scale = 0 },
        };
    }

    private void LosePageDistances()
    {
        if (T0.Kind == ValueKind.PageDistance)
        {
            T0 = Value.Secret;
        }

        if (Rcx.Kind is ValueKind.PageDistance or ValueKind.PageDistances)
        {
            Rcx = Value.Secret;
        }
    }

    /// <summary>Weakens this state to what holds of another one too. Neither may have a parked register.</summary>
    /// <returns>Whether anything changed.</returns>
    public bool Join(in AbstractState other)
    {
        AbstractState old = this;
        AbstractState joined = other;
        if (RaxAway || joined.RaxAway)
        {
            DropRax();
            LoseBase(VerifiedRegisters.Rax);
            joined.DropRax();
            joined.LoseBase(VerifiedRegisters.Rax);
        }

        RaxKept &= joined.RaxKept;
        T0 = Value.Join(T0, joined.T0);
        T1 = Value.Join(T1, joined.T1);
        Rcx = Value.Join(Rcx, other.Rcx);
        StackLow = Math.Max(StackLow, other.StackLow);
        StackHigh = Math.Min(StackHigh, other.StackHigh);
        if (StackLow >= StackHigh)
        {
            StackLow = 0;
            StackHigh = 0;
        }

        if (Flags != other.Flags || FlagBound != other.FlagBound)
        {
            Flags = FlagFact.None;
        }

        if (Argument != other.Argument)
        {
            Argument = NoArgument;
        }

        if (Depth != other.Depth)
        {
            Depth = 2;
        }

        bool deltasChanged = false;
        for (int slot = 0; slot < Analysis.BaseGroups.Slots; slot++)
        {
            Value both = Deltas[slot] == joined.Deltas[slot] ? Deltas[slot]
                : Deltas[slot].Base != 0 && Deltas[slot].Base == joined.Deltas[slot].Base ? Value.Join(Deltas[slot], joined.Deltas[slot])
                : default;
            deltasChanged |= both != Deltas[slot];
            Deltas[slot] = both;
        }

        Admitted &= other.Admitted;
        Polled &= other.Polled;
        HasRoom &= other.HasRoom;
        HasTarget &= other.HasTarget;
        return deltasChanged || RaxKept != old.RaxKept || RaxAway != old.RaxAway || T0 != old.T0 || T1 != old.T1 || Rcx != old.Rcx || StackLow != old.StackLow || StackHigh != old.StackHigh || Flags != old.Flags
            || Argument != old.Argument || Depth != old.Depth || Admitted != old.Admitted || Polled != old.Polled
            || HasRoom != old.HasRoom || HasTarget != old.HasTarget;
    }
}
