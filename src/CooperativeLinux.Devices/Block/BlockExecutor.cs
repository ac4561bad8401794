using System.Diagnostics;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Host.Disks;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Block;

/// <summary>Carries requests out on a disk, and tells once about the first defect of the guest and the first failure of the host. Any thread.</summary>
internal sealed class BlockExecutor(Disk disk, string name, ILogger logger)
{
    // A write that took longer was not only copied: the host limits what is not yet on its storage. Then writes count as slow for so many
    // times as long.
    private const double SlowSeconds = 0.001, SlowSecondsPerByte = 0.003 / (1 << 20);
    private const int SlowFactor = 20;

    private int _hasReportedDefect;
    private int _hasReportedFailure;
    private long _slowUntil;

    /// <summary>Whether writes lately took longer than copying does.</summary>
    public bool AreWritesSlow => Stopwatch.GetTimestamp() < Volatile.Read(ref _slowUntil);

    /// <summary>Whether a request is a write that can be done and usually only puts its data into the host's memory.</summary>
    public bool IsQuickWrite(BlockRequest request) =>
        request.Operation == BlockOperation.Write && request.Defect is null && request.Length > 0
        && !disk.IsReadOnly && disk.IsWriteQuick(request.Offset, request.Length);

    /// <summary>Carries a request out.</summary>
    /// <param name="request">Parsed.</param>
    public BlockStatus Execute(BlockRequest request)
    {
        try
        {
            if (request.Defect is string defect)
            {
                ReportDefect(defect);
                return request.DefectStatus;
            }

            return Carry(request);
        }
        catch (NotSupportedException exception)
        {
            ReportFailure(exception.Message);
            return BlockStatus.Unsupported;
        }
        catch (IOException exception)
        {
            ReportFailure(exception.Message);
            return BlockStatus.Error;
        }
        catch (Exception exception)
        {
            logger.LogError(exception, "Disk {Name}: a request failed for an internal reason", name);
            return BlockStatus.Error;
        }
    }

    /// <summary>Writes the data of several requests that follow each other.</summary>
    /// <returns>False if it failed. For which of them, and why, each tells when it is executed by itself.</returns>
    public bool TryWrite(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        try
        {
            Write(buffers, offset);
            return true;
        }
        catch (Exception)
        {
            return false;
        }
    }

    private BlockStatus Carry(BlockRequest request)
    {
        if (disk.IsReadOnly && request.Operation is not (BlockOperation.Read or BlockOperation.Flush))
        {
            ReportDefect("a write to a read-only disk");
            return BlockStatus.Error;
        }

        switch (request.Operation)
        {
            case BlockOperation.Read:
                if (request.Length > 0)
                {
                    disk.Read(request.Buffers, request.Offset);
                    request.AnnounceWrites();
                }

                break;
            case BlockOperation.Write or BlockOperation.WriteBarrier:
                if (request.Length > 0)
                {
                    Write(request.Buffers, request.Offset);
                }

                if (request.Operation == BlockOperation.WriteBarrier)
                {
                    disk.Flush();
                }

                break;
            case BlockOperation.Flush:
                disk.Flush();
                break;
            case BlockOperation.Discard:
                if (request.Length > 0)
                {
                    disk.Discard(request.Offset, request.Length);
                }

                break;
        }

        return BlockStatus.Okay;
    }

    private void Write(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        long start = Stopwatch.GetTimestamp();
        disk.Write(buffers, offset);
        long taken = Stopwatch.GetTimestamp() - start;
        if (taken > (SlowSeconds + (SlowSecondsPerByte * IoBuffer.TotalLength(buffers))) * Stopwatch.Frequency)
        {
            Volatile.Write(ref _slowUntil, start + (SlowFactor * taken));
        }
    }

    private void ReportDefect(string defect)
    {
        if (Interlocked.Exchange(ref _hasReportedDefect, 1) == 0)
        {
            logger.LogWarning("Disk {Name}: the guest sent a request that cannot be carried out: {Defect}", name, defect);
        }
    }

    private void ReportFailure(string reason)
    {
        if (Interlocked.Exchange(ref _hasReportedFailure, 1) == 0)
        {
            logger.LogWarning("Disk {Name}: {Reason}; the guest gets an error", name, reason);
        }
    }
}
