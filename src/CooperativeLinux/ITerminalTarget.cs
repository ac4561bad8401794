namespace CooperativeLinux;

/// <summary>What a terminal's input goes to: a machine of this process, or of another one.</summary>
internal interface ITerminalTarget
{
    /// <summary>Whether the terminal can leave the machine, which goes on without it.</summary>
    bool CanDetach { get; }

    /// <summary>Sends what was typed to the guest.</summary>
    Task SendAsync(ReadOnlyMemory<byte> input, CancellationToken cancellationToken);

    /// <summary>Does what the user chose with the escape key; an answer, if any, is shown by the target itself.</summary>
    Task ExecuteAsync(EscapeCommand command, string argument, CancellationToken cancellationToken);
}
