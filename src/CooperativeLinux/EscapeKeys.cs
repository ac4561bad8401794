namespace CooperativeLinux;

/// <summary>What a user asks for with the escape key.</summary>
internal enum EscapeCommand
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Switch off at once.</summary>
    Quit,

    /// <summary>Leave the machine, which goes on.</summary>
    Detach,

    /// <summary>Show the help.</summary>
    Help,

    /// <summary>Shut down in order.</summary>
    ShutDown,

    /// <summary>Restart in order.</summary>
    Reboot,

    /// <summary>Send a system request; the argument is its key.</summary>
    SysRq,

    /// <summary>Set the memory target; the argument is a size.</summary>
    Memory,

    /// <summary>Set the guest's clock.</summary>
    Clock,

    /// <summary>Only show the argument: a prompt, or what was typed at it.</summary>
    Echo,
}

/// <summary>
/// Takes the escape sequences out of what is typed on a raw terminal: Ctrl-] and a letter. Ctrl-] twice sends one
/// to the guest; with an unknown letter both go to the guest.
/// </summary>
/// <param name="canDetach">Whether the terminal can leave the machine.</param>
internal sealed class EscapeKeys(bool canDetach = false)
{
    /// <summary>Ctrl-], as telnet has it.</summary>
    public const byte Key = 0x1D;

    private const string DetachHelp = "Ctrl-] d  leave the machine, which goes on\r\n";

    private const string CommonHelp =
        "Ctrl-] s  shut the guest down in order\r\n"
        + "Ctrl-] r  restart the guest in order\r\n"
        + "Ctrl-] q  switch the machine off at once\r\n"
        + "Ctrl-] x KEY  send a magic system request (x h: list them)\r\n"
        + "Ctrl-] m SIZE Enter  set how much memory the guest may use\r\n"
        + "Ctrl-] t  set the guest's clock to the host's\r\n"
        + "Ctrl-] ?  this help\r\n"
        + "Ctrl-] Ctrl-]  send Ctrl-] to the guest\r\n";

    private const int MaxSizeLength = 16;

    /// <summary>What Ctrl-] ? shows, for a terminal in raw mode.</summary>
    public string Help => $"\r\n{(canDetach ? DetachHelp : "")}{CommonHelp}";

    private readonly List<byte> _typed = [];
    private State _state;

    private enum State
    {
        Plain,
        Escaped,
        SysRqKey,
        Size,
    }

    /// <summary>Takes input until a command or its end.</summary>
    /// <param name="input">What was typed.</param>
    /// <param name="forGuest">Receives what is meant for the guest; at least one byte longer than the input.</param>
    /// <returns>Bytes of the input used, bytes for the guest, and a command to do after sending these.</returns>
    public (int Used, int Length, EscapeCommand Command, string Argument) Filter(ReadOnlySpan<byte> input, Span<byte> forGuest)
    {
        int length = 0;
        for (int i = 0; i < input.Length; i++)
        {
            byte value = input[i];
            EscapeCommand command = EscapeCommand.None;
            string argument = "";
            switch (_state)
            {
                case State.Plain when value == Key:
                    _state = State.Escaped;
                    break;
                case State.Plain:
                    forGuest[length++] = value;
                    break;
                case State.Escaped:
                    _state = State.Plain;
                    (command, argument) = Choose(value);
                    if (command == EscapeCommand.None && _state == State.Plain)
                    {
                        forGuest[length++] = Key;
                        if (value != Key)
                        {
                            forGuest[length++] = value;
                        }
                    }

                    break;
                case State.SysRqKey:
                    _state = State.Plain;
                    (command, argument) = (EscapeCommand.SysRq, char.ToLowerInvariant((char)value).ToString());
                    break;
                default:
                    (command, argument) = TypeSize(value);
                    break;
            }

            if (command != EscapeCommand.None)
            {
                return (i + 1, length, command, argument);
            }
        }

        return (input.Length, length, EscapeCommand.None, "");
    }

    private (EscapeCommand Command, string Argument) Choose(byte key)
    {
        switch ((char)(key | 0x20))
        {
            case 'q':
                return (EscapeCommand.Quit, "");
            case 's':
                return (EscapeCommand.ShutDown, "");
            case 'r':
                return (EscapeCommand.Reboot, "");
            case 'd' when canDetach:
                return (EscapeCommand.Detach, "");
            case 't':
                return (EscapeCommand.Clock, "");
            case 'h' or '?':
                return (EscapeCommand.Help, "");
            case 'x':
                _state = State.SysRqKey;
                return (EscapeCommand.None, "");
            case 'm':
                _state = State.Size;
                _typed.Clear();
                return (EscapeCommand.Echo, "\r\nmemory: ");
            default:
                return (EscapeCommand.None, "");
        }
    }

    /// <summary>Takes a line with a size: Enter ends it, Backspace takes back, anything unfit for a size gives up.</summary>
    private (EscapeCommand Command, string Argument) TypeSize(byte key)
    {
        const byte Backspace = 0x08, Delete = 0x7F;
        switch (key)
        {
            case (byte)'\r' or (byte)'\n':
                _state = State.Plain;
                return (EscapeCommand.Memory, System.Text.Encoding.ASCII.GetString([.. _typed]));
            case Backspace or Delete when _typed.Count > 0:
                _typed.RemoveAt(_typed.Count - 1);
                return (EscapeCommand.Echo, "\b \b");
            case Backspace or Delete:
                return (EscapeCommand.None, "");
            case var _ when char.IsAsciiLetterOrDigit((char)key) && _typed.Count < MaxSizeLength:
                _typed.Add(key);
                return (EscapeCommand.Echo, ((char)key).ToString());
            default:
                _state = State.Plain;
                return (EscapeCommand.Echo, "\r\n");
        }
    }
}
