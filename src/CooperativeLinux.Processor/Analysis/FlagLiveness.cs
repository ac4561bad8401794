using CooperativeLinux.Processor.Decoding;
using Iced.Intel;

namespace CooperativeLinux.Processor.Analysis;

/// <summary>Finds, for each instruction, which arithmetic flags of before it are still needed.</summary>
internal static class FlagLiveness
{
    public const RflagsBits Arithmetic = RflagsBits.OF | RflagsBits.SF | RflagsBits.ZF | RflagsBits.AF | RflagsBits.CF | RflagsBits.PF;

    /// <param name="instructions">The block.</param>
    /// <param name="lookahead">Tells what branch targets need.</param>
    public static void Analyse(Span<DecodedInstruction> instructions, FlagLookahead lookahead)
    {
        ref DecodedInstruction last = ref instructions[^1];
        RflagsBits live = BlockDecoder.EndsBlock(last.Handling) ? Arithmetic : lookahead.LiveAt(last.Instruction.NextIP);
        RflagsBits read = live;
        for (int i = instructions.Length - 1; i >= 0; i--)
        {
            ref DecodedInstruction decoded = ref instructions[i];
            switch (decoded.Handling)
            {
                case Handling.ConditionalJump:
                    RflagsBits exit = (decoded.Instruction.RflagsRead & Arithmetic) | lookahead.LiveAt(decoded.Instruction.NearBranchTarget);
                    live |= exit;
                    read |= exit;
                    break;
                case Handling.Jump or Handling.Call when decoded.Instruction.Op0Kind == OpKind.NearBranch64:
                    live = lookahead.LiveAt(decoded.Instruction.NearBranchTarget);
                    read = live;
                    break;
                case Handling.Jump or Handling.Call or Handling.Return:
                    live = Arithmetic;
                    read = RflagsBits.None;
                    break;
                default:
                    live = Before(decoded.Instruction, decoded.Handling, live);
                    read = Before(decoded.Instruction, decoded.Handling, read);
                    break;
            }

            decoded.LiveFlags = live;
            decoded.ReadFlags = read;
        }
    }

    /// <summary>Flags live before an instruction, given those live after it.</summary>
    public static RflagsBits Before(in Instruction instruction, Handling handling, RflagsBits after)
    {
        switch (handling)
        {
            case Handling.Nothing or Handling.Lea or Handling.Push or Handling.Pop or Handling.Leave or Handling.Translate or Handling.ReadSelector:
                return after;
            case Handling.Copy or Handling.BitString:
                RflagsBits read = instruction.RflagsRead & Arithmetic;
                if (instruction.Mnemonic is Mnemonic.Rcl or Mnemonic.Rcr)
                {
                    read |= RflagsBits.CF;
                }

                return IsCertainWriter(instruction) ? (after & ~instruction.RflagsModified) | read : after | read;
            default:
                // What leaves the block, or is looked at by managed code, needs all of them.
                return Arithmetic;
        }
    }

    /// <summary>Whether the instruction writes its flags whatever its operands are: a shift by zero does not.</summary>
    private static bool IsCertainWriter(in Instruction instruction)
    {
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Rcl or Mnemonic.Rcr:
                // The count is taken modulo 9 or 17 for the short operands.
                return false;
            case Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Rol or Mnemonic.Ror:
                return instruction.Op1Kind != OpKind.Register && (instruction.Immediate8 & 0x1F) != 0;
            case Mnemonic.Shld or Mnemonic.Shrd:
                return instruction.Op2Kind != OpKind.Register && (instruction.Immediate8 & 0x1F) != 0;
            default:
                return true;
        }
    }
}
