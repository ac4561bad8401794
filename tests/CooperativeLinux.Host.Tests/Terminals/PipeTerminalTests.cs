using System.IO.Pipes;
using System.Text;
using CooperativeLinux.Host.Terminals;
using CooperativeLinux.Host.Terminals.Sys;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace CooperativeLinux.Host.Tests.Terminals;

/// <summary>Standard input and output are pipes.</summary>
public sealed class PipeTerminalTests : IDisposable
{
    private readonly AnonymousPipeServerStream _inputEnd = new(PipeDirection.Out);
    private readonly AnonymousPipeServerStream _outputEnd = new(PipeDirection.In);
    private readonly Terminal _terminal;

    public PipeTerminalTests() => _terminal = new Terminal(CreateDevice(_inputEnd.ClientSafePipeHandle, _outputEnd.ClientSafePipeHandle));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _inputEnd.Dispose();
        _terminal.Dispose();
        _outputEnd.Dispose();
    }

    [Fact]
    public void Open_Pipes_IsNoTerminal()
    {
        Assert.False(_terminal.IsInputTerminal);
        Assert.False(_terminal.IsOutputTerminal);
        Assert.Null(_terminal.Size);
        Assert.False(_terminal.EnterRawMode());
        Assert.False(_terminal.IsRaw);
        _terminal.LeaveRawMode();
    }

    [Fact]
    public async Task ReadAsync_BytesThenClose_GivesBytesThenEnd()
    {
        _inputEnd.Write("ab\0\u00e4"u8);
        _inputEnd.Dispose();
        byte[] all = new byte[16];
        int length = 0;

        int count;
        while ((count = await _terminal.ReadAsync(all.AsMemory(length, 2), Cancellation)) > 0)
        {
            length += count;
        }

        Assert.Equal("ab\0\u00e4", Encoding.UTF8.GetString(all, 0, length));
        Assert.Equal(0, await _terminal.ReadAsync(all, Cancellation));
    }

    [Fact]
    public async Task ReadAsync_ManyBytes_ArriveInOrder()
    {
        byte[] sent = new byte[1 << 20];
        new Random(1).NextBytes(sent);
        Task writing = Task.Run(() =>
        {
            _inputEnd.Write(sent);
            _inputEnd.Dispose();
        }, Cancellation);
        byte[] received = new byte[sent.Length];
        int length = 0;

        int count;
        while ((count = await _terminal.ReadAsync(received.AsMemory(length, Math.Max(1, received.Length - length)), Cancellation)) > 0)
        {
            length += count;
            if (length == received.Length)
            {
                break;
            }
        }

        await writing;
        Assert.Equal(sent.Length, length);
        Assert.Equal(sent, received);
    }

    [Fact]
    public async Task ReadAsync_Cancelled_ThrowsAndLosesNothing()
    {
        byte[] buffer = new byte[16];
        using CancellationTokenSource cancellation = new(30);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await _terminal.ReadAsync(buffer, cancellation.Token));
        _inputEnd.Write("x"u8);

        int count = await _terminal.ReadAsync(buffer, Cancellation);

        Assert.Equal(1, count);
        Assert.Equal((byte)'x', buffer[0]);
    }

    [Fact]
    public async Task ReadAsync_EmptyBuffer_Throws() =>
        await Assert.ThrowsAsync<ArgumentException>(async () => await _terminal.ReadAsync(Memory<byte>.Empty, Cancellation));

    [Fact]
    public async Task Dispose_WhileReading_EndsTheRead()
    {
        ValueTask<int> read = _terminal.ReadAsync(new byte[16], Cancellation);

        _terminal.Dispose();

        Assert.Equal(0, await read);
    }

    [Fact]
    public async Task Write_MoreThanThePipeHolds_ArrivesWhole()
    {
        byte[] sent = new byte[1 << 20];
        new Random(2).NextBytes(sent);
        byte[] received = new byte[sent.Length];
        Task reading = Task.Run(() => _outputEnd.ReadExactly(received), Cancellation);

        bool written = _terminal.Write(sent);

        await reading;
        Assert.True(written);
        Assert.Equal(sent, received);
    }

    [Fact]
    public void Write_ReaderGone_ReturnsFalse()
    {
        _outputEnd.Dispose();

        Assert.False(_terminal.Write("x"u8));
        Assert.False(_terminal.Write("y"u8));
    }

    private static TerminalDevice CreateDevice(SafePipeHandle input, SafePipeHandle output) => OperatingSystem.IsLinux()
        ? new LinuxTerminalDevice((int)input.DangerousGetHandle(), (int)output.DangerousGetHandle())
        : new WindowsTerminalDevice(input.DangerousGetHandle(), output.DangerousGetHandle());
}
