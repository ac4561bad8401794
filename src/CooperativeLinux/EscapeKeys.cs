namespace CooperativeLinux;

/// <summary>What a user asks for with the escape key.</summary>
internal enum EscapeCommand
{
    None,
    Quit,
    Help,
}

/// <summary>
/// Takes the escape sequences out of what is typed on a raw terminal: Ctrl-] and a letter. Ctrl-] twice sends one
/// to the guest; with an unknown letter both go to the guest.
/// </summary>
internal sealed class EscapeKeys
{
    /// <summary>Ctrl-], as telnet has it.</summary>
    public const byte Key = 0x1D;

    /// <summary>What Ctrl-] ? shows, for a terminal in raw mode.</summary>
    public const string Help = "\r\nCtrl-] q  switch the machine off at once\r\nCtrl-] ?  this help\r\nCtrl-] Ctrl-]  send Ctrl-] to the guest\r\n";

    private bool _escaped;

    /// <summary>Takes input until a command or its end.</summary>
    /// <param name="input">What was typed.</param>
    /// <param name="forGuest">Receives what is meant for the guest; at least one byte longer than the input.</param>
    /// <returns>Bytes of the input used, bytes for the guest, and a command to do after sending these.</returns>
    public (int Used, int Length, EscapeCommand Command) Filter(ReadOnlySpan<byte> input, Span<byte> forGuest)
    {
        int length = 0;
        for (int i = 0; i < input.Length; i++)
        {
            byte value = input[i];
            if (!_escaped)
            {
                _escaped = value == Key;
                if (!_escaped)
                {
                    forGuest[length++] = value;
                }

                continue;
            }

            _escaped = false;
            switch (value)
            {
                case (byte)'q' or (byte)'Q':
                    return (i + 1, length, EscapeCommand.Quit);
                case (byte)'?' or (byte)'h' or (byte)'H':
                    return (i + 1, length, EscapeCommand.Help);
                case Key:
                    forGuest[length++] = Key;
                    break;
                default:
                    forGuest[length++] = Key;
                    forGuest[length++] = value;
                    break;
            }
        }

        return (input.Length, length, EscapeCommand.None);
    }
}
