namespace CooperativeLinux.Processor.Verification;

/// <summary>A host instruction of a block that could not be proved safe.</summary>
/// <param name="HostOffset">Its offset in the code region.</param>
/// <param name="Disassembly">The instruction.</param>
/// <param name="Reason">What could not be proved.</param>
internal readonly record struct Violation(int HostOffset, string Disassembly, string Reason)
{
    public override string ToString() => $"+{HostOffset:x} {Disassembly}: {Reason}";
}
