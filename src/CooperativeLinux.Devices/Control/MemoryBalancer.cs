using System.Diagnostics;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Store;

namespace CooperativeLinux.Devices.Control;

/// <summary>Sets a guest's memory target: what the owner wants, and below it for moments when the policy says so. Any thread.</summary>
public sealed class MemoryBalancer : IDisposable
{
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromMilliseconds(100);

    // A look at all pages takes time, and the guest decides how often it reports.
    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly PvDomain _domain;
    private readonly DomainControl _control;
    private readonly XenStore _store;
    private readonly MemoryPolicy? _policy;
    private readonly Timer _timer;
    private readonly IDisposable? _watch;
    private readonly string _node;
    private ulong _ceilingKiB;
    private TimeSpan _lastReport = -ReportInterval;
    private bool _isDisposed;
    private bool _isLooking;

    /// <param name="domain">The domain.</param>
    /// <param name="store">Its store; the domain's nodes are there.</param>
    /// <param name="least">Bytes the guest keeps in any case; null: only the owner sets the target.</param>
    /// <param name="domainNumber">The domain's number.</param>
    public MemoryBalancer(PvDomain domain, XenStore store, long? least, int domainNumber = 1)
    {
        _domain = domain;
        _store = store;
        _control = new DomainControl(store, domainNumber);
        _ceilingKiB = _control.MemoryMaximumKiB;
        _timer = new Timer(_ => OnTick());
        _node = $"{StorePath.OfDomain(domainNumber)}/{MemoryReport.Node}";
        if (least is long bytes)
        {
            _policy = new MemoryPolicy(bytes, (long)_ceilingKiB << 10);
            _watch = store.Watch(_node, _ => OnReport());
        }
    }

    private static TimeSpan Now => Stopwatch.GetElapsedTime(0);

    /// <summary>Sets how much memory the guest may use until this is called again.</summary>
    /// <param name="bytes">At most the domain's static maximum.</param>
    public void SetCeiling(long bytes)
    {
        lock (_gate)
        {
            _control.SetMemoryTarget((ulong)bytes >> 10);
            _ceilingKiB = (ulong)bytes >> 10;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
        }

        _watch?.Dispose();
        _timer.Dispose();
    }

    // Reports come on the guest's processor, which does not wait for a look at all pages. One at a time: what comes meanwhile is missed,
    // and the guest reports again.
    private void OnReport()
    {
        if (!Interlocked.Exchange(ref _isLooking, true))
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                _ =>
                {
                    Look();
                    Volatile.Write(ref _isLooking, false);
                },
                null);
        }
    }

    private void Look()
    {
        lock (_gate)
        {
            TimeSpan now = Now;
            if (_isDisposed || _policy is null || now - _lastReport < ReportInterval || !MemoryReport.TryParse(_store.Read(_node), out MemoryReport report))
            {
                return;
            }

            _lastReport = now;
            long resident = (long)_domain.Memory.ResidentBytes();
            if (_policy.OnReport(report, (long)_domain.PresentMemory, resident, now) is long target && (ulong)target >> 10 < _ceilingKiB)
            {
                _control.SetMemoryTarget((ulong)target >> 10);
                _timer.Change(ProgressInterval, ProgressInterval);
            }
        }
    }

    private void OnTick()
    {
        lock (_gate)
        {
            if (!_isDisposed && _policy is { IsSqueezing: true } && _policy.IsSqueezeOver((long)_domain.PresentMemory, Now))
            {
                _timer.Change(Timeout.Infinite, Timeout.Infinite);
                _control.SetMemoryTarget(_ceilingKiB);
            }
        }
    }
}
