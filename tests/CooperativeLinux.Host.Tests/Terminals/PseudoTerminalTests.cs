using System.Diagnostics;
using System.Runtime.Versioning;
using System.Text;
using CooperativeLinux.Host.Terminals;
using CooperativeLinux.Host.Terminals.Sys;
using Xunit;

namespace CooperativeLinux.Host.Tests.Terminals;

/// <summary>Standard input and output are a Linux terminal.</summary>
[SupportedOSPlatform("linux")]
public sealed class PseudoTerminalTests
{
    private const string LinuxOnly = "Needs a Linux pseudo-terminal.";
    private const uint OutputProcessing = 1; // OPOST
    private const uint Signals = 1;          // ISIG
    private const uint LineMode = 2;         // ICANON
    private const uint Echo = 8;             // ECHO
    private const uint CarriageReturnToLineFeed = 0x100; // ICRNL

    public static bool IsLinux => OperatingSystem.IsLinux();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public void EnterRawMode_ThenLeave_ChangesAndRestoresTheMode()
    {
        using PseudoTerminal pty = new();
        using Terminal terminal = Open(pty);
        (uint Input, uint Output, uint Local) before = pty.Mode;

        bool entered = terminal.EnterRawMode();
        (uint Input, uint Output, uint Local) raw = pty.Mode;
        terminal.LeaveRawMode();

        Assert.True(entered);
        Assert.Equal(0u, raw.Local & (Signals | LineMode | Echo));
        Assert.Equal(0u, raw.Output & OutputProcessing);
        Assert.Equal(0u, raw.Input & CarriageReturnToLineFeed);
        Assert.NotEqual(0u, before.Local & Echo);
        Assert.Equal(before, pty.Mode);
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public void Dispose_InRawMode_RestoresTheMode()
    {
        using PseudoTerminal pty = new();
        (uint Input, uint Output, uint Local) before = pty.Mode;
        Terminal terminal = Open(pty);
        terminal.EnterRawMode();
        terminal.EnterRawMode();

        terminal.Dispose();

        Assert.Equal(before, pty.Mode);
        Assert.False(terminal.IsRaw);
        Assert.Throws<ObjectDisposedException>(() => terminal.EnterRawMode());
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public async Task ReadAsync_RawKeys_ArriveUnchangedAndAtOnce()
    {
        using PseudoTerminal pty = new();
        using Terminal terminal = Open(pty);
        terminal.EnterRawMode();
        pty.Type("\x03\x1a\x04\r\x7f\x1b[A"u8);
        byte[] buffer = new byte[64];

        int count = await terminal.ReadAsync(buffer, Cancellation);

        Assert.Equal("\x03\x1a\x04\r\x7f\x1b[A", Encoding.ASCII.GetString(buffer, 0, count));
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public void Write_InRawMode_ArrivesUnchanged()
    {
        using PseudoTerminal pty = new();
        using Terminal terminal = Open(pty);
        terminal.EnterRawMode();

        bool written = terminal.Write("a\nb"u8);

        Assert.True(written);
        Assert.Equal("a\nb", Encoding.ASCII.GetString(pty.ReadScreen()));
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public void Size_AfterItWasSet_IsThatSize()
    {
        using PseudoTerminal pty = new();
        using Terminal terminal = Open(pty);
        TerminalSize? unknown = terminal.Size;

        pty.SetSize(132, 43);

        Assert.Null(unknown);
        Assert.Equal(new TerminalSize(132, 43), terminal.Size);
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public async Task Resized_WindowChangeSignal_ReportsTheNewSize()
    {
        using PseudoTerminal pty = new();
        using Terminal terminal = Open(pty);
        TaskCompletionSource<TerminalSize> reported = new(TaskCreationOptions.RunContinuationsAsynchronously);
        terminal.Resized += size => reported.TrySetResult(size);
        pty.SetSize(100, 30);

        // The pseudo-terminal is nobody's controlling terminal, so the kernel sends no signal by itself.
        using Process kill = Process.Start("kill", ["-WINCH", Environment.ProcessId.ToString()]);

        Assert.Equal(new TerminalSize(100, 30), await reported.Task.WaitAsync(TimeSpan.FromSeconds(30), Cancellation));
        await kill.WaitForExitAsync(Cancellation);
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public async Task ReadAsync_TerminalHungUp_IsTheEnd()
    {
        using PseudoTerminal pty = new();
        using Terminal terminal = Open(pty);
        terminal.EnterRawMode();
        ValueTask<int> read = terminal.ReadAsync(new byte[16], Cancellation);

        pty.HangUp();

        Assert.Equal(0, await read);
        Assert.False(terminal.Write("x"u8));
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public async Task ReadAsync_ClosedDescriptor_IsTheEnd()
    {
        const int Closed = 9999;
        using Terminal terminal = new(new LinuxTerminalDevice(Closed, Closed));

        Assert.False(terminal.EnterRawMode());
        Assert.Equal(0, await terminal.ReadAsync(new byte[16], Cancellation));
        Assert.False(terminal.Write("x"u8));
    }

    [Fact(Skip = LinuxOnly, SkipUnless = nameof(IsLinux))]
    public async Task ReadAsync_NoDescriptor_IsTheEnd()
    {
        using Terminal terminal = new(new LinuxTerminalDevice(-1, -1));

        Assert.Equal(0, await terminal.ReadAsync(new byte[16], Cancellation));
        Assert.False(terminal.Write("x"u8));
    }

    private static Terminal Open(PseudoTerminal pty) => new(new LinuxTerminalDevice(pty.Slave, pty.Slave));
}
