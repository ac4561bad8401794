using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

/// <summary>General registers by number, without Iced's slower queries.</summary>
internal static class VerifiedRegisters
{
    public const byte Rax = 0, Rcx = 1, Rsp = 4, GuestRsp = 9, T0 = 10, T1 = 11;

    /// <summary>Number of what is no general register.</summary>
    public const byte None = 255;

    private static readonly byte[] s_numbers = Create(register => register.IsGPR() ? (byte)register.GetFullRegister().GetNumber() : None);
    private static readonly byte[] s_sizes = Create(register => (byte)register.GetSize());

    /// <summary>x86 number, 0 to 15, of the general register that contains a register; <see cref="None"/> for others.</summary>
    public static byte Number(Register register) => s_numbers[(int)register];

    /// <summary>Bytes.</summary>
    public static byte Size(Register register) => s_sizes[(int)register];

    private static byte[] Create(Func<Register, byte> of)
    {
        Register[] all = Enum.GetValues<Register>();
        byte[] table = new byte[all.Length];
        foreach (Register register in all)
        {
            table[(int)register] = register == Register.None ? None : of(register);
        }

        return table;
    }
}
