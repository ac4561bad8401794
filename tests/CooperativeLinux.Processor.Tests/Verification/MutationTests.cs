using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;
using Xunit;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>Breaks emitted blocks in one way each; the verifier must notice every time.</summary>
public sealed class MutationTests
{
    // Each is dangerous wherever it is executed; padded to the length of what it replaces.
    private static readonly string[] s_forbidden =
    [
        "0F05", "0F34", "CC", "CD80", "F1", "0F0B", "F4", "FA", "FB", "EC", "EE", "E460", "6C", "6E", "0F01D0", "0F01D1", "0F01F8", "0F01F9", "0F01C1", "0F01CA", "0F01EF",
        "0FA2", "0F30", "0F32", "0F33", "F30FAED0", "F30FAEC0", "F3480FAED0", "F30FC7F8",
        "A4", "A5", "AA", "AB", "AC", "AE", "A6", "48AB", "F3A4", "F348AB", "D7", "9C", "9D", "50", "58", "4150", "415F", "C9", "C8000000", "6A00", "CF", "48CF", "CB", "C3", "C20800",
        "8ED0", "8EE0", "8CD8", "0FA1", "0FA9", "0F22C0", "0F20C0", "0F23C0",
        "FFE0", "FFD0", "41FFE2", "FF20", "FF10", "41FF2A", "41FF22", "E0FE", "E2FE", "FD",
        "4889C4", "4801C4", "4883C408", "4883EC08", "4883E4F0", "488D6424F8", "4894", "66FFC4", "89C4", "4889E0", "4803C4", "480FCC", "40B400", "6689C4",
        "8B00", "8900", "488B03", "418B01", "418901", "418B03", "438B0411", "8B0424", "890424", "48A10000000000000000", "8B042500000000", "658B00", "648B042500000000",
        "67418B02", "678B00", "0FAE00", "0FAE20", "0FAE28", "0F0100", "0F0110", "D930", "DD30", "D920", "DD20", "0F2B00", "660FF7C1", "0FF7C1", "C5F9F7C1", "C4E27190040A", "C4E2FD91040A",
        "488D0500000000", "4C8D1500000000", "0F1800", "0F1F00", "F00FB10B", "F30F1EC8", "62F17C481000", "0FC733", "660FC733", "0F01FC", "0F01FA",
    ];

    [Fact]
    public void Verify_BoundTooLarge_Objects()
    {
        Check(250, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(IsBound))
            {
                int bound = (int)host.Instruction.GetImmediate(1);
                foreach (int wrong in (ReadOnlySpan<int>)[bound + 1, bound + 8, 4096, 0x7FFFFFFF, -1, int.MinValue])
                {
                    mutator.Try(host, bytes => Put(bytes, wrong), $"bound {bound} -> {wrong}");
                }
            }
        });
    }

    [Fact]
    public void Verify_WrongTlbArray_Objects()
    {
        int tlbs = StateOffset(nameof(EngineState.Tlbs), engine: true);
        Check(250, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Instruction.Code == Code.Add_r64_rm64 && h.Instruction.Op0Register == Register.R11 && h.Instruction.IsIPRelativeMemoryOperand))
            {
                int array = (mutator.DataOffset(host) - tlbs) / 8;
                Assert.InRange(array, 0, TlbContext.ArrayCount - 1);
                for (int wrong = -2; wrong < TlbContext.ArrayCount + 2; wrong++)
                {
                    // Any bank of the same kind will do, and a lookup for reading may use an array for writing of the same mode.
                    int kind = array / TlbContext.Banks;
                    int wrongKind = (int)Math.Floor((double)wrong / TlbContext.Banks);
                    if (wrongKind != kind && !(wrongKind == kind + 1 && (kind & 1) == 0))
                    {
                        mutator.Try(host, bytes => Add(bytes, (wrong - array) * 8), $"array {array} -> {wrong}");
                    }
                }
            }
        });
    }

    [Fact]
    public void Verify_WrongStubForMiss_Objects()
    {
        Check(500, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Instruction.Code == Code.Call_rel32_64))
            {
                foreach (int wrong in mutator.WrongAccessStubs(host))
                {
                    mutator.Try(host, bytes => Add(bytes, wrong - mutator.TargetOf(host)), $"stub at {wrong:x}");
                }
            }

            // add t0,[t1] ; mov [argument],site ; call
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Instruction is { Code: Code.Add_r64_rm64, Op0Register: Register.R10, MemoryBase: Register.R11, MemoryDisplacement64: 0 }))
            {
                if (mutator.WrongAccessStubs(mutator.All[host.Index + 2]).Any())
                {
                    mutator.Try(host, Fill, "address not restored");
                    mutator.Try(host, bytes => FillBehind(bytes, [0x4D, 0x89, 0xDA]), "mov r10,r11");
                }
            }
        });
    }

    [Fact]
    public void Verify_WrongBoundForStackWindow_Objects()
    {
        Check(20, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.StackBounds)
            {
                int bound = (int)host.Instruction.Immediate32;
                foreach (int wrong in (ReadOnlySpan<int>)[bound + 1, bound - 1, 4096, -1])
                {
                    mutator.Try(host, bytes => Put(bytes, wrong), $"bound {bound} -> {wrong}");
                }

                mutator.Try(host, Fill, "bound left out");
            }
        });
    }

    [Fact]
    public void Verify_WrongStepOfBaseGroup_Objects()
    {
        int slots = StateOffset(nameof(EngineState.BaseDeltas), true);
        Check(300, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.HasMemory && h.Instruction.MemoryIndex == Register.R11 && h.Instruction.MemoryIndexScale == 1
                && h.Instruction.MemoryBase != Register.R9 && h.Instruction.MemoryBase != Register.None && h.Instruction.Mnemonic != Mnemonic.Lea))
            {
                mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryIndexScale = 2, "scale of the distance");
                mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryBase = instruction.MemoryBase == Register.RDX ? Register.RCX : Register.RDX, "other base");
                if (host.Instruction.MemoryDisplSize > 1)
                {
                    mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryDisplacement64 += 4096, "outside of the group");
                    mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryDisplacement64 -= 4096, "outside of the group");
                }

                // mov t1,[t1+8] ; op
                HostInstruction before = mutator.All[host.Index - 1];
                if (IsDistance(before))
                {
                    mutator.Try(before, Fill, "distance not loaded");
                    mutator.TryReencoded(before, (ref Instruction instruction) => instruction.MemoryDisplacement64 = 16, "of the next entry");
                }

                // mov t1,[t1+8] ; mov [slot],t1 ; op , and later mov t1,[slot] ; op
                if (mutator.DataOffset(before) is int offset && offset >= slots && offset < slots + (8 * CooperativeLinux.Processor.Analysis.BaseGroups.Slots))
                {
                    bool isStore = before.Instruction.Op0Kind == OpKind.Memory;
                    if (!isStore || IsDistance(mutator.All[host.Index - 2]))
                    {
                        mutator.Try(isStore ? mutator.All[host.Index - 2] : before, Fill, "distance not loaded");
                    }

                    mutator.Try(before, bytes => Add(bytes, slots - 8 - offset), "no slot");
                }
            }

            static bool IsDistance(HostInstruction host) => host.Instruction is { Code: Code.Mov_r64_rm64, Op0Register: Register.R11, MemoryBase: Register.R11 };
        }, sequences: 140);
    }

    [Fact]
    public void Verify_WrongStepOfStackCheckThatKeepsFlags_Objects()
    {
        Check(100, (mutator, block) =>
        {
            foreach (HostInstruction jump in mutator.Reachable.Where(h => h.Instruction.Code == Code.Jrcxz_rel8_64 && mutator.All[h.Index - 2].Instruction.Code == Code.VEX_Shrx_r64_rm64_r64))
            {
                // mov t1d,12 ; mov rcx,[negative] ; lea t0,[rcx+rsp+low] ; shrx rcx,t0,t1 ; lea t0,[t0+length-1] ; shrx t0,t0,t1 ; lea rcx,[rcx+t0]
                for (int back = 1; back <= 7; back++)
                {
                    mutator.Try(mutator.All[jump.Index - back], Fill, "step left out");
                }

                mutator.TryReencoded(mutator.All[jump.Index - 3], (ref Instruction instruction) => instruction.MemoryDisplacement64--, "one byte less");
                mutator.TryReencoded(mutator.All[jump.Index - 5], (ref Instruction instruction) => instruction.MemoryDisplacement64++, "one byte further");
                mutator.Try(mutator.All[jump.Index - 7], bytes => Put(bytes, 13), "larger pages");
            }
        });
    }

    [Fact]
    public void Verify_MissingStepOfCheck_Objects()
    {
        Check(500, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.IsLookupStep || h.IsStackCheckStep))
            {
                mutator.Try(host, Fill, "step left out");
            }
        });
    }

    [Fact]
    public void Verify_WrongIndex_Objects()
    {
        Check(500, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable)
            {
                if (host.Instruction.Code == Code.Shr_rm32_imm8 && host.IsLookupStep)
                {
                    foreach (byte wrong in (ReadOnlySpan<byte>)[0, 1, 7, 9, 12, 31])
                    {
                        mutator.Try(host, bytes => bytes[^1] = wrong, $"shift by {wrong}");
                    }
                }

                if (host.Instruction.Code == Code.And_rm32_imm32 && host.IsLookupStep)
                {
                    foreach (int wrong in (ReadOnlySpan<int>)[0x7FF, 0xFF0, 0xFFF0, -1, 0x7F8, 0x3F0])
                    {
                        mutator.Try(host, bytes => Put(bytes, wrong), $"mask {wrong:x}");
                    }
                }
            }
        });
    }

    [Fact]
    public void Verify_ChangedBaseRegister_Objects()
    {
        Check(500, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => IsGuestAccess(h) && h.Instruction.MemoryIndex == Register.None && h.Instruction.MemoryBase == Register.R10))
            {
                for (int register = 0; register < 16; register++)
                {
                    // rsp, r12 need a SIB byte, and rbp, r13 a displacement.
                    if (register is not (4 or 5 or 10 or 12 or 13))
                    {
                        mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryBase = Register.RAX + register, $"base r{register}");
                    }
                }
            }
        });
    }

    [Fact]
    public void Verify_StackAccessOutsideRange_Objects()
    {
        Check(80, (mutator, block) =>
        {
            if (block.Key.Variant != BlockVariant.Normal)
            {
                return;
            }

            foreach (HostInstruction host in mutator.Reachable.Where(h => IsGuestAccess(h) && h.Instruction.MemoryIndex == Register.R11 && h.Instruction.MemoryDisplSize > 0))
            {
                // Ranges are at most 1024 bytes long.
                mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryIndex = Register.R10, "other index");
                mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryBase = Register.RBX, "other base");
                mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryIndexScale = 2, "scaled");
                if (host.Instruction.MemoryDisplSize > 1)
                {
                    mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryDisplacement64 += 1025, "beyond");
                    mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryDisplacement64 -= 1025, "below");
                    mutator.TryReencoded(host, (ref Instruction instruction) => instruction.MemoryDisplacement64 = 0x7FFFFFF0, "far");
                }
            }
        });
    }

    [Fact]
    public void Verify_WrongStackWindow_Objects()
    {
        int[] fields =
        [
            StateOffset(nameof(EngineState.KernelStackNegative), true), StateOffset(nameof(EngineState.KernelStackDelta), true),
            StateOffset(nameof(EngineState.UserStackNegative), true), StateOffset(nameof(EngineState.UserStackDelta), true),
        ];
        Check(250, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Instruction.IsIPRelativeMemoryOperand && fields.Contains(mutator.DataOffset(h))))
            {
                foreach (int field in fields.Where(f => f != mutator.DataOffset(host)))
                {
                    // Page for page is dangerous only if something is accessed then; a group always is.
                    mutator.Try(host, bytes => Add(bytes, field - mutator.DataOffset(host)), $"field {field}");
                }
            }
        });
    }

    [Fact]
    public void Verify_WiderAccess_Objects()
    {
        Check(50, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(IsPlainAccess))
            {
                switch (host.Instruction.MemorySize.GetSize())
                {
                    case 4:
                        mutator.Try(host, bytes => ChangeOpcode(bytes, (b, opcode) => b[opcode - 1] |= 8), "8 bytes");
                        break;
                    case 1:
                        mutator.Try(host, bytes => ChangeOpcode(bytes, (b, opcode) => b[opcode] |= 1), "4 bytes");
                        break;
                }
            }
        });
    }

    [Fact]
    public void Verify_WriteWhereReadWasChecked_Objects()
    {
        Check(50, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => IsPlainAccess(h) && h.Instruction.Op1Kind == OpKind.Memory && h.Instruction.Mnemonic != Mnemonic.Cmp))
            {
                mutator.Try(host, bytes => ChangeOpcode(bytes, (b, opcode) => b[opcode] &= 0xFD), "store");
            }
        });
    }

    [Fact]
    public void Verify_ForbiddenInstruction_Objects()
    {
        int next = 0;
        Check(5000, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Index % 5 == 0))
            {
                // Every kind gets its turn at all sorts of places.
                for (int i = 0; i < 4; i++)
                {
                    byte[] forbidden = Convert.FromHexString(s_forbidden[next++ % s_forbidden.Length].Replace(" ", string.Empty, StringComparison.Ordinal));
                    bool isReturn = forbidden[0] == 0xC3 && forbidden.Length == 1;
                    if (forbidden.Length <= host.Instruction.Length && !(isReturn))
                    {
                        mutator.Try(host, bytes => FillBehind(bytes, forbidden), Convert.ToHexString(forbidden));
                    }
                }
            }
        });
    }

    [Fact]
    public void Verify_StoreToAnyOtherField_Objects()
    {
        HashSet<int> allowed =
        [
            .. Fields(StateOffset(nameof(VcpuState.R9), false), 24), .. Fields(StateOffset(nameof(VcpuState.Rip), false), 8),
            .. Fields(StateOffset(nameof(EngineState.Park0), true), 16), .. Fields(StateOffset(nameof(EngineState.ParkRax), true), 8),
            .. Fields(StateOffset(nameof(EngineState.CallTarget), true), 8), .. Fields(StateOffset(nameof(EngineState.BranchTarget), true), 8),
        ];
        bool done = false;
        Check(3000, (mutator, block) =>
        {
            HostInstruction? store = mutator.Reachable.FirstOrDefault(h => h.Instruction.Code == Code.Mov_rm64_r64 && h.Instruction.IsIPRelativeMemoryOperand
                && mutator.DataOffset(h) == StateOffset(nameof(VcpuState.Rip), false));
            if (done || store == null)
            {
                return;
            }

            done = true;
            for (int offset = -4096; offset < 20480; offset += 4)
            {
                if (!allowed.Contains(offset) || offset % 8 != 0)
                {
                    mutator.Try(store, bytes => Add(bytes, offset - mutator.DataOffset(store)), $"store to {offset}");
                }
            }
        });
    }

    [Fact]
    public void Verify_HeadCheckMissing_Objects()
    {
        int[] fields =
        [
            StateOffset(nameof(EngineState.Limit), true), StateOffset(nameof(EngineState.PageSlots), true), StateOffset(nameof(EngineState.BranchTarget), true),
            StateOffset(nameof(EngineState.PollClear), true), StateOffset(nameof(EngineState.DepthTag), true),
        ];
        int[] seen = new int[fields.Length];
        Check(500, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => fields.Contains(mutator.DataOffset(h)) && h.Instruction.Code != Code.Mov_rm64_r64))
            {
                // From naming the field to the branch that depends on it.
                seen[Array.IndexOf(fields, mutator.DataOffset(host))]++;
                mutator.Try(host, bytes => Add(bytes, 8), "next field");
                for (int index = host.Index; ; index++)
                {
                    HostInstruction step = mutator.All[index];
                    // Without a forward jrcxz the check always fails.
                    bool isHarmless = step.Instruction is { Op0Register: Register.R11, Op1Register: Register.RCX }
                        || (step.Instruction.Code == Code.Jrcxz_rel8_64 && step.Instruction.NearBranchTarget > step.Instruction.IP);
                    if (!isHarmless)
                    {
                        mutator.Try(step, Fill, "step left out");
                    }

                    if (step.Instruction.IsJccShortOrNear)
                    {
                        mutator.Try(step, bytes => bytes[1] ^= 1, "branch turned round");
                    }

                    if (step.Instruction.FlowControl == FlowControl.ConditionalBranch)
                    {
                        break;
                    }
                }
            }

            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Instruction.Code == Code.Cmp_rm32_imm32 && h.Instruction.MemoryBase == Register.R11 && h.Instruction.MemoryDisplSize > 1))
            {
                mutator.Try(host, bytes => Add(bytes, 1), "other page id");
                mutator.Try(host, bytes => Add(bytes, 4, fromEnd: 8), "other page slot");
            }
        });
        Assert.All(seen, count => Assert.True(count > 3));
    }

    [Fact]
    public void Verify_IndirectBranchStepMissing_Objects()
    {
        Check(40, (mutator, block) =>
        {
            foreach (HostInstruction jump in mutator.Reachable.Where(h => h.Instruction.Code == Code.Jmp_rm64))
            {
                // mov [target],t0 ; mov t1d,t0d ; shr t1d,bits ; xor t1d,t0d ; and t1d,mask ; mov t0,[table] ; jmp [t0+t1*8]
                foreach (int back in (int[])[1, 2, 6])
                {
                    mutator.Try(mutator.All[jump.Index - back], Fill, "step left out");
                }

                mutator.Try(mutator.All[jump.Index - 2], bytes => bytes[^2] |= 0x20, "larger mask");
                mutator.TryReencoded(jump, (ref Instruction instruction) => instruction.MemoryIndexScale = 4, "entries of 4 bytes");
                mutator.TryReencoded(jump, (ref Instruction instruction) => instruction.MemoryDisplacement64 = 1, "between entries");
                mutator.TryReencoded(jump, (ref Instruction instruction) => instruction.MemoryIndex = Register.R12, "other index");
                mutator.TryReencoded(jump, (ref Instruction instruction) => instruction.MemoryBase = Register.R11, "other table");
                mutator.Try(jump, bytes => FillBehind(bytes, [0x41, 0xFF, 0xE2]), "jmp r10");
                mutator.Try(jump, bytes => bytes[^2] ^= 0x30, "call [r10+r11*8]");
            }
        });
    }

    [Fact]
    public void Verify_BranchElsewhere_Objects()
    {
        Check(2000, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Index % 3 == 0 && h.Instruction.Code is Code.Jmp_rel32_64 or Code.Call_rel32_64 || (h.Index % 3 == 1 && h.Instruction.IsJccNear)))
            {
                int target = mutator.TargetOf(host);
                foreach (int wrong in mutator.ForbiddenTargets(host))
                {
                    mutator.Try(host, bytes => Add(bytes, wrong - target), $"branch to {wrong:x}");
                }
            }
        });
    }

    [Fact]
    public void Verify_WrongArgument_Objects()
    {
        int argument = StateOffset(nameof(EngineState.Argument), true);
        Check(500, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Instruction.Code == Code.Mov_rm32_imm32 && mutator.DataOffset(h) == argument && !mutator.LeavesForSystemCall(h)))
            {
                int wrong = mutator.SiteOfOtherBlock();
                mutator.Try(host, bytes => Put(bytes, 0x7FFFFFFF), "argument out of range");
                mutator.Try(host, bytes => Put(bytes, -1), "negative argument");
                mutator.Try(host, Fill, "argument left out");
                if (wrong >= 0 && mutator.CallsForSite(host))
                {
                    mutator.Try(host, bytes => Put(bytes, wrong), "argument of another block");
                }
            }
        });
    }

    [Fact]
    public void Verify_BitOffsetTooLarge_Objects()
    {
        Check(15, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => h.Instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc
                && h.Instruction.Op0Kind == OpKind.Memory && h.Instruction.Op1Kind == OpKind.Register))
            {
                HostInstruction mask = mutator.LastBefore(host, h => h.Instruction.Mnemonic == Mnemonic.And && h.Instruction.Op0Register == Register.R11D);
                mutator.Try(mask, Fill, "mask left out");
                mutator.Try(mask, bytes => bytes[^1] = 0x7F, "mask 7f");
                mutator.Try(mask, bytes => bytes[^1] = 0xFF, "mask ff");
                mutator.TryReencoded(host, (ref Instruction instruction) => instruction.Op1Register = instruction.Op1Register - 11, "offset in rax");
            }
        });
    }

    [Fact]
    public void Verify_HostAddressLeaks_Objects()
    {
        Check(500, (mutator, block) =>
        {
            foreach (HostInstruction host in mutator.Reachable.Where(h => IsGuestAccess(h) && h.Instruction.MemoryBase == Register.R10 && h.Instruction.MemoryIndexScale == 1 && h.Instruction.Length >= 3))
            {
                // The host's address, or the distance to it: mov rax,r10 ; mov [r10],r10 ; add rbx,r10 ; xchg r8,r10
                byte distance = (byte)(host.Instruction.MemoryIndex == Register.R11 ? 1 << 3 : 0);
                mutator.Try(host, bytes => FillBehind(bytes, [0x4C, 0x89, (byte)(0xD0 | distance)]), "mov rax,…");
                mutator.Try(host, bytes => FillBehind(bytes, [0x4D, 0x89, (byte)(0x12 | distance)]), "mov [r10],…");
                mutator.Try(host, bytes => FillBehind(bytes, [0x4C, 0x01, (byte)(0xD3 | distance)]), "add rbx,…");
                mutator.Try(host, bytes => FillBehind(bytes, [0x4D, 0x87, (byte)(0xD0 | distance)]), "xchg r8,…");
            }
        });
    }

    /// <summary>Runs a mutation over a corpus; fails if it is too rarely applicable, or if the verifier accepts one.</summary>
    private static void Check(int atLeast, Action<Mutator, Block> mutate, int sequences = 25)
    {
        List<string> missed = [];
        int tried = 0;
        GuestCodeGenerator generator = new(77);
        using VerifiedMachine machine = new();
        for (int i = 0; i < sequences; i++)
        {
            foreach (Block block in machine.Translate(generator.Sequence(12), i * 400))
            {
                Mutator mutator = new(machine, block);
                mutate(mutator, block);
                tried += mutator.Tried;
                missed.AddRange(mutator.Missed);
            }
        }

        Assert.True(missed.Count == 0, $"{missed.Count} of {tried} not noticed:\n{string.Join('\n', missed.Take(20))}");
        Assert.True(tried >= atLeast, $"only {tried} mutations");
    }

    private static int StateOffset(string field, bool engine) => engine
        ? VcpuState.TotalSize + (int)System.Runtime.InteropServices.Marshal.OffsetOf<EngineState>(field)
        : (int)System.Runtime.InteropServices.Marshal.OffsetOf<VcpuState>(field);

    private static IEnumerable<int> Fields(int offset, int length) => Enumerable.Range(0, length / 8).Select(i => offset + (i * 8));

    private static bool IsBound(HostInstruction host) => host.Instruction.Code == Code.Cmp_rm64_imm32 && (host.IsLookupStep || host.IsStackCheckStep);

    // mov or arithmetic between T0's operand and a register
    private static bool IsPlainAccess(HostInstruction host) => host.IsGuestAccess && host.Instruction.MemoryBase == Register.R10
        && host.Instruction.Mnemonic is Mnemonic.Mov or Mnemonic.Add or Mnemonic.Adc or Mnemonic.Sub or Mnemonic.Sbb or Mnemonic.And or Mnemonic.Or or Mnemonic.Xor or Mnemonic.Cmp
        && host.Instruction.Op0Kind != host.Instruction.Op1Kind && (host.Instruction.Op0Kind == OpKind.Register || host.Instruction.Op1Kind == OpKind.Register);

    private static bool IsGuestAccess(HostInstruction host) => host.IsGuestAccess;

    // Opcode behind the prefixes of an instruction that has a REX prefix.
    private static void ChangeOpcode(byte[] bytes, Action<byte[], int> change) => change(bytes, Array.FindIndex(bytes, b => (b & 0xF0) == 0x40) + 1);

    // The last four bytes of an instruction: an immediate or a displacement.
    private static void Put(byte[] bytes, int value) => BitConverter.TryWriteBytes(bytes.AsSpan(bytes.Length - 4), value);

    private static void Add(byte[] bytes, int change, int fromEnd = 4) =>
        BitConverter.TryWriteBytes(bytes.AsSpan(bytes.Length - fromEnd), BitConverter.ToInt32(bytes, bytes.Length - fromEnd) + change);

    private static void Fill(byte[] bytes) => FillBehind(bytes, []);

    // Instructions that do nothing of interest: mov rax,rax ; mov eax,eax ; cwde
    private static void FillBehind(Span<byte> bytes, ReadOnlySpan<byte> first)
    {
        first.CopyTo(bytes);
        Span<byte> rest = bytes[first.Length..];
        while (rest.Length > 0)
        {
            ReadOnlySpan<byte> filler = rest.Length == 1 ? [0x98] : rest.Length is 2 or 4 ? [0x89, 0xC0] : [0x48, 0x89, 0xC0];
            filler.CopyTo(rest);
            rest = rest[filler.Length..];
        }
    }
}
