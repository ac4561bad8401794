using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>Advisory locks, which the guest's kernel asks for after it has settled them among its own processes.</summary>
internal sealed partial class ShareSession
{
    // P9_LOCK_SUCCESS, P9_LOCK_BLOCKED; P9_LOCK_FLAGS_BLOCK.
    private const byte LockSuccess = 0, LockBlocked = 1;
    private const uint WaitFlag = 1;
    private const int MaxClientName = 1024, MaxWaits = 256;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(5), LongestPause = TimeSpan.FromMilliseconds(100);

    private readonly LockTable _locks = new();
    private readonly CancellationTokenSource _end = new();
    private int _waits;

    private static bool TryReadRange(FileLockKind kind, ulong start, ulong length, out ulong last)
    {
        last = length == 0 || length > long.MaxValue - start ? long.MaxValue : start + length - 1;
        return kind <= FileLockKind.None && start <= long.MaxValue;
    }

    private Errno Lock(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        FileLockKind kind = (FileLockKind)exchange.Fields.ReadByte();
        uint flags = exchange.Fields.ReadUInt32();
        ulong start = exchange.Fields.ReadUInt64();
        ulong length = exchange.Fields.ReadUInt64();
        uint owner = exchange.Fields.ReadUInt32();
        exchange.Fields.ReadString();
        if (!exchange.Fields.IsIntact || !TryReadRange(kind, start, length, out ulong last))
        {
            return Errno.EINVAL;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        Errno error = _locks.TrySet(fid, owner, kind, start, last);
        if (error == Errno.EAGAIN && (flags & WaitFlag) != 0 && Volatile.Read(ref _waits) < MaxWaits)
        {
            // The client would ask again after half a minute; so the request waits here, and takes no thread.
            Interlocked.Increment(ref _waits);
            LockWait wait = new(exchange.Flight, fid, owner, kind, start, last);
            exchange.IsDeferred = true;
            _ = WaitForLockAsync(wait);
            return Errno.None;
        }

        fid.Release();
        exchange.Answer.Write(error == Errno.EAGAIN ? LockBlocked : LockSuccess);
        return error == Errno.EAGAIN ? Errno.None : error;
    }

    private async Task WaitForLockAsync(LockWait wait)
    {
        using CancellationTokenSource flushed = CancellationTokenSource.CreateLinkedTokenSource(_end.Token);
        Errno error = Errno.EINTR;
        try
        {
            bool isWaiting = _flights.TrySetCancel(wait.Flight, flushed.Cancel);
            for (TimeSpan pause = FirstPause; isWaiting; pause = pause < LongestPause ? pause * 2 : pause)
            {
                await Task.Delay(pause, flushed.Token).ConfigureAwait(false);
                error = _locks.TrySet(wait.Fid, wait.Owner, wait.Kind, wait.Start, wait.Last);
                isWaiting = error == Errno.EAGAIN;
            }
        }
        catch (OperationCanceledException)
        {
            error = Errno.EINTR;
        }

        _flights.TrySetCancel(wait.Flight, () => { });
        Interlocked.Decrement(ref _waits);
        wait.Fid.Release();
        Answer(wait, error);
    }

    private void Answer(LockWait wait, Errno error)
    {
        MessageWriter answer = new(stackalloc byte[MessageWriter.HeaderSize + sizeof(uint)], MessageType.Lock, wait.Flight.Tag);
        answer.Write(LockSuccess);
        if (error != Errno.None)
        {
            answer.Fail(error);
        }

        _flights.Answer(wait.Flight, answer.Finish());
    }

    private Errno GetLock(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        FileLockKind kind = (FileLockKind)exchange.Fields.ReadByte();
        ulong start = exchange.Fields.ReadUInt64();
        ulong length = exchange.Fields.ReadUInt64();
        uint owner = exchange.Fields.ReadUInt32();
        ReadOnlySpan<byte> client = exchange.Fields.ReadString();
        if (!exchange.Fields.IsIntact || client.Length > MaxClientName || kind == FileLockKind.None || !TryReadRange(kind, start, length, out ulong last))
        {
            return Errno.EINVAL;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        Errno error = _locks.Test(fid, owner, kind, start, last, out FileLockRange conflict, out uint conflictOwner);
        fid.Release();
        bool isFree = conflict.Kind == FileLockKind.None;
        exchange.Answer.Write((byte)conflict.Kind);
        exchange.Answer.Write(isFree ? start : conflict.Start);
        exchange.Answer.Write(isFree ? length : conflict.Length);
        exchange.Answer.Write(isFree ? owner : conflictOwner);
        exchange.Answer.WriteString(client);
        return error;
    }

    private sealed record LockWait(Flight Flight, Fid Fid, uint Owner, FileLockKind Kind, ulong Start, ulong Last);
}
