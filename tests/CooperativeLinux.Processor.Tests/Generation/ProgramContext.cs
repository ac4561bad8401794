using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Which registers a program under construction keeps for its structure, and its random choices.</summary>
internal sealed class ProgramContext
{
    private const int PointerCount = 3, Rax = 0, Rcx = 1, Rdx = 2, Rsp = 4;

    private readonly List<int> _counters = [];

    public ProgramContext(Rng rng)
    {
        Rng = rng;
        Values = new ValueSource(rng);
        List<int> pointers = [];
        while (pointers.Count < PointerCount)
        {
            int register = rng.Below(16);
            if (register is not (Rax or Rcx or Rdx or Rsp) && !pointers.Contains(register))
            {
                pointers.Add(register);
            }
        }

        Pointers = pointers;
    }

    public Rng Rng { get; }

    public ValueSource Values { get; }

    /// <summary>Registers that point into data pages all the time.</summary>
    public IReadOnlyList<int> Pointers { get; }

    /// <summary>View that rip-relative operands are reached in; set before instructions are made.</summary>
    public ulong CodeView { get; set; } = TestLayout.High;

    public bool IsReserved(int register) => register == Rsp || Pointers.Contains(register) || _counters.Contains(register);

    public int PickPointer() => Pointers[Rng.Below(Pointers.Count)];

    /// <summary>A register the program may overwrite.</summary>
    public int PickFree()
    {
        for (; ; )
        {
            int register = Rng.Below(16);
            if (!IsReserved(register))
            {
                return register;
            }
        }
    }

    public void Reserve(int counter) => _counters.Add(counter);

    public void Release(int counter) => _counters.Remove(counter);
}
