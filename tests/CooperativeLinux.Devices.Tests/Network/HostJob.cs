namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>Something a program on the host does meanwhile, on a thread of its own.</summary>
internal sealed class HostJob<T>
{
    private readonly Thread _thread;
    private T? _result;
    private volatile Exception? _error;

    public HostJob(Func<T> work)
    {
        _thread = new Thread(() =>
        {
            try
            {
                _result = work();
            }
            catch (Exception error)
            {
                _error = error;
            }
        })
        { IsBackground = true };
        _thread.Start();
    }

    public bool IsCompleted => !_thread.IsAlive;

    public bool IsFaulted => _error is not null;

    public T Result
    {
        get
        {
            _thread.Join();
            return _error is null ? _result! : throw _error;
        }
    }
}

/// <summary>Makes jobs.</summary>
internal static class HostJob
{
    public static HostJob<T> Run<T>(Func<T> work) => new(work);

    public static HostJob<bool> Run(Action work) => new(() =>
    {
        work();
        return true;
    });
}
