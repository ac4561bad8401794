using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Writes the items of a random program.</summary>
internal sealed class ProgramWriter(ProgramContext context, ProgramInstructions catalogue)
{
    private const int Rcx = 1, Rsi = 6, Rdi = 7, MaxLoopTurns = 6, MaxDepth = 2;

    private static readonly Code[] Jumps =
    [
        Code.Jo_rel32_64, Code.Jno_rel32_64, Code.Jb_rel32_64, Code.Jae_rel32_64, Code.Je_rel32_64, Code.Jne_rel32_64, Code.Jbe_rel32_64, Code.Ja_rel32_64,
        Code.Js_rel32_64, Code.Jns_rel32_64, Code.Jp_rel32_64, Code.Jnp_rel32_64, Code.Jl_rel32_64, Code.Jge_rel32_64, Code.Jle_rel32_64, Code.Jg_rel32_64,
        Code.Jrcxz_rel8_64,
    ];

    private readonly List<ProgramItem> _items = [];
    private readonly List<(ProgramItem Item, int Function)> _calls = [];
    private readonly List<int> _functionStarts = [];
    private int _groups;

    private Rng Rng => context.Rng;

    /// <summary>The finished items; calls are resolved.</summary>
    public IReadOnlyList<ProgramItem> Finish()
    {
        foreach ((ProgramItem item, int function) in _calls)
        {
            item.Target = _functionStarts[function];
        }

        return _items;
    }

    /// <summary>Writes the main part or the inside of a function.</summary>
    public void WriteBody(int count, int functions, bool isFunction, bool useX87, int firstCallable = 0)
    {
        WriteSequence(count, functions, firstCallable, useX87, depth: 0);
        if (!isFunction)
        {
            Add(Instruction.Create(Code.Int3), isEnd: true);
        }
    }

    /// <summary>Writes a function; it may call the ones after it, or itself a few times.</summary>
    public void WriteFunction(int function, int functions, int count, bool useX87)
    {
        _functionStarts.Add(_items.Count);
        if (Rng.Chance(4))
        {
            // f: dec counter; jle out; call f; out: body. The counter starts bounded by the and.
            int counter = PickCounter();
            int group = ++_groups;
            ProgramItem bound = Add(Instruction.Create(Code.And_rm32_imm8, Register.EAX + counter, 0x1F), group: group);
            bound.Instructions.Add(Instruction.Create(Code.Dec_rm32, Register.EAX + counter));
            bound.Instructions.Add(Instruction.CreateBranch(Code.Jle_rel32_64, 0));
            bound.Reference = 2;
            bound.Target = _items.Count + 1;
            ProgramItem call = Add(Instruction.CreateBranch(Code.Call_rel32_64, 0), group: group);
            call.Reference = 0;
            _calls.Add((call, function));
        }

        WriteBody(count, functions, isFunction: true, useX87, firstCallable: function + 1);
        Add(Instruction.Create(Code.Retnq), isEnd: true);
    }

    private void WriteSequence(int count, int functions, int firstCallable, bool useX87, int depth)
    {
        int end = _items.Count + count;
        while (_items.Count < end)
        {
            switch (Rng.Below(24))
            {
                case 0 or 1:
                    WriteForwardBranch();
                    break;
                case 2 when depth < MaxDepth:
                    WriteLoop(functions, firstCallable, useX87, depth);
                    break;
                case 3 when firstCallable < functions:
                    WriteCall(Rng.Between(firstCallable, functions - 1));
                    break;
                case 4:
                    WritePushPop(functions, firstCallable, useX87, depth);
                    break;
                case 5:
                    WriteFlags();
                    break;
                case 6 when !context.IsReserved(Rsi) && !context.IsReserved(Rdi) && !context.IsReserved(Rcx):
                    WriteString();
                    break;
                case 7:
                    WriteStackFrame(functions, firstCallable, useX87, depth);
                    break;
                case 8:
                    WriteCodeAddress();
                    break;
                case 9:
                    WriteStackAccess();
                    break;
                default:
                    Instruction instruction = catalogue.Create(context, useX87, out Instruction before);
                    if (before.Code == Code.INVALID)
                    {
                        Add(instruction);
                    }
                    else
                    {
                        Add(before).Instructions.Add(instruction);
                    }

                    break;
            }
        }
    }

    /// <summary>Conditional, unconditional or through a register; a few items ahead, never into a loop (its end is an item of its own).</summary>
    private void WriteForwardBranch()
    {
        int distance = Rng.Between(1, 4);
        ProgramItem item;
        if (Rng.Chance(6))
        {
            int register = context.PickFree();
            item = Add(LoadAddress(register));
            item.Instructions.Add(Instruction.Create(Code.Jmp_rm64, Register.RAX + register));
            item.Reference = 0;
        }
        else
        {
            item = Add(Instruction.CreateBranch(Rng.Chance(5) ? Code.Jmp_rel32_64 : Rng.Pick<Code>(Jumps), 0));
            item.Reference = 0;
        }

        // Straight-line items follow, so that the target cannot lie inside a loop that starts in between.
        item.Target = _items.Count + distance - 1;
        for (int i = 0; i < distance; i++)
        {
            Instruction instruction = catalogue.Create(context, useX87: false, out Instruction before);
            ProgramItem straight = Add(before.Code == Code.INVALID ? instruction : before);
            if (before.Code != Code.INVALID)
            {
                straight.Instructions.Add(instruction);
            }
        }
    }

    private void WriteLoop(int functions, int firstCallable, bool useX87, int depth)
    {
        bool byLoop = !context.IsReserved(Rcx) && Rng.Chance(3);
        int counter = byLoop ? Rcx : PickCounter();
        int group = ++_groups;
        Add(Instruction.Create(Code.Mov_r32_imm32, Register.EAX + counter, Rng.Between(1, MaxLoopTurns)), group: group);
        context.Reserve(counter);
        int body = _items.Count;
        WriteSequence(Rng.Between(1, 5), functions, functions, useX87, depth + 1);
        context.Release(counter);
        ProgramItem end;
        if (byLoop)
        {
            end = Add(Instruction.CreateBranch(Code.Loop_rel8_64_RCX, 0), group: group);
        }
        else
        {
            Instruction step = Rng.Chance(2)
                ? Instruction.Create(Code.Dec_rm64, Register.RAX + counter)
                : Instruction.Create(Code.Sub_rm32_imm8, Register.EAX + counter, 1);
            end = Add(step, group: group);
            end.Instructions.Add(Instruction.CreateBranch(Code.Jne_rel32_64, 0));
        }

        end.Reference = end.Instructions.Count - 1;
        end.Target = body;
    }

    private void WriteCall(int function)
    {
        ProgramItem item;
        if (Rng.Chance(4))
        {
            int register = context.PickFree();
            item = Add(LoadAddress(register));
            item.Instructions.Add(Instruction.Create(Code.Call_rm64, Register.RAX + register));
        }
        else
        {
            item = Add(Instruction.CreateBranch(Code.Call_rel32_64, 0));
        }

        item.Reference = 0;
        _calls.Add((item, function));
    }

    private void WritePushPop(int functions, int firstCallable, bool useX87, int depth)
    {
        int group = ++_groups;
        Add(Rng.Below(4) switch
        {
            0 => Instruction.Create(Code.Pushq_imm32, (int)Rng.Next()),
            1 => PushMemory(),
            _ => Instruction.Create(Code.Push_r64, Register.RAX + Rng.Below(16)),
        }, group: group);
        if (depth < MaxDepth && Rng.Chance(2))
        {
            WriteSequence(Rng.Between(1, 3), functions, firstCallable, useX87, depth + 1);
        }

        Add(Instruction.Create(Code.Pop_r64, Register.RAX + context.PickFree()), group: group);
    }

    private Instruction PushMemory()
    {
        Instruction push = default;
        push.Code = Code.Push_rm64;
        push.Op0Kind = OpKind.Memory;
        push.MemoryBase = Register.RAX + context.PickPointer();
        push.MemoryDisplSize = 8;
        push.MemoryDisplacement64 = (ulong)(8 * Rng.Below(50));
        return push;
    }

    private void WriteFlags()
    {
        ProgramItem item;
        if (Rng.Chance(2))
        {
            item = Add(Instruction.Create(Code.Pushfq));
            item.Instructions.Add(Instruction.Create(Code.Pop_r64, Register.RAX + context.PickFree()));
        }
        else
        {
            item = Add(Instruction.Create(Code.Pushq_imm32, (int)(Rng.Next() & 0x8D5)));
            item.Instructions.Add(Instruction.Create(Code.Popfq));
        }
    }

    private void WriteString()
    {
        bool wide = Rng.Chance(2);
        Instruction operation = Rng.Below(8) switch
        {
            0 => Instruction.CreateMovsb(64),
            1 => Instruction.CreateMovsq(64),
            2 => Instruction.CreateStosb(64),
            3 => wide ? Instruction.CreateStosq(64) : Instruction.CreateStosd(64),
            4 => Instruction.CreateLodsb(64),
            5 => Instruction.CreateScasb(64),
            6 => Instruction.CreateCmpsb(64),
            _ => Instruction.CreateMovsd(64),
        };
        bool down = Rng.Chance(5);
        bool compares = operation.Mnemonic is Mnemonic.Scasb or Mnemonic.Cmpsb;
        operation.HasRepPrefix = Rng.Chance(2);
        operation.HasRepnePrefix = !operation.HasRepPrefix && compares && Rng.Chance(2);
        if (operation.Mnemonic is Mnemonic.Lodsb && context.IsReserved(0))
        {
            operation = Instruction.CreateMovsb(64);
        }

        ProgramItem item = Add(AddressOf(Rsi));
        item.Instructions.Add(AddressOf(Rdi));
        item.Instructions.Add(Instruction.Create(Code.Mov_r32_imm32, Register.ECX, Rng.Chance(4) ? Rng.Below(700) : Rng.Below(20)));
        if (down)
        {
            item.Instructions.Add(Instruction.Create(Code.Std));
        }

        item.Instructions.Add(operation);
        if (down)
        {
            item.Instructions.Add(Instruction.Create(Code.Cld));
        }
    }

    /// <summary>enter/leave, or sub and add of rsp around other items.</summary>
    private void WriteStackFrame(int functions, int firstCallable, bool useX87, int depth)
    {
        int group = ++_groups;
        int size = 8 * Rng.Between(1, 20);
        bool byEnter = !context.IsReserved(5) && Rng.Chance(3);
        if (byEnter)
        {
            Add(Instruction.Create(Code.Enterq_imm16_imm8, (uint)size, 0u), group: group);
            context.Reserve(5);
        }
        else
        {
            Add(Instruction.Create(Code.Sub_rm64_imm32, Register.RSP, size), group: group);
        }

        if (depth < MaxDepth)
        {
            WriteSequence(Rng.Between(1, 3), functions, firstCallable, useX87, depth + 1);
        }

        if (byEnter)
        {
            context.Release(5);
            Add(Instruction.Create(Code.Leaveq), group: group);
        }
        else
        {
            Add(Rng.Chance(2) ? Instruction.Create(Code.Add_rm64_imm32, Register.RSP, size) : Lea(Register.RSP, Register.RSP, size), group: group);
        }
    }

    /// <summary>The address of the next instruction, by lea or by call and pop.</summary>
    private void WriteCodeAddress()
    {
        int register = context.PickFree();
        ProgramItem item;
        if (Rng.Chance(2))
        {
            item = Add(LoadAddress(register));
        }
        else
        {
            item = Add(Instruction.CreateBranch(Code.Call_rel32_64, 0), group: ++_groups);
            Add(Instruction.Create(Code.Pop_r64, Register.RAX + register), group: _groups);
        }

        item.Reference = 0;
        item.Target = item.Index + 1;
    }

    private void WriteStackAccess()
    {
        Instruction instruction = default;
        bool load = Rng.Chance(2);
        instruction.Code = load ? Code.Mov_r64_rm64 : Code.Mov_rm64_r64;
        instruction.SetOpKind(load ? 1 : 0, OpKind.Memory);
        instruction.SetOpRegister(load ? 0 : 1, Register.RAX + context.PickFree());
        instruction.MemoryBase = Register.RSP;
        int displacement = 8 * (load ? Rng.Between(-20, 20) : Rng.Between(-20, -1));
        instruction.MemoryDisplacement64 = (ulong)(long)displacement;
        instruction.MemoryDisplSize = Rng.Chance(2) && displacement >= -128 ? 1 : 8;
        Add(instruction);
    }

    private Instruction AddressOf(int register) => Lea(Register.RAX + register, Register.RAX + context.PickPointer(), Rng.Between(-700, 700));

    private static Instruction Lea(Register destination, Register source, int displacement)
    {
        Instruction lea = default;
        lea.Code = Code.Lea_r64_m;
        lea.Op0Register = destination;
        lea.Op0Kind = OpKind.Register;
        lea.Op1Kind = OpKind.Memory;
        lea.MemoryBase = source;
        lea.MemoryDisplSize = 8;
        lea.MemoryDisplacement64 = (ulong)(long)displacement;
        return lea;
    }

    private static Instruction LoadAddress(int register) => Lea(Register.RAX + register, Register.RIP, 0);

    private int PickCounter()
    {
        for (; ; )
        {
            // rax, rcx and rdx are written implicitly by too much.
            int counter = context.PickFree();
            if (counter is > 2 and not (Rsi or Rdi))
            {
                return counter;
            }
        }
    }

    private ProgramItem Add(in Instruction instruction, int group = 0, bool isEnd = false)
    {
        ProgramItem item = new(_items.Count) { IsEnd = isEnd, Group = group };
        item.Instructions.Add(instruction);
        _items.Add(item);
        return item;
    }
}
