using System.Globalization;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Store;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Xenbus;

/// <summary>
/// Base of the host's side of a PV device: makes its nodes, follows the frontend's state, and calls <see cref="OnConnect"/> and
/// <see cref="OnDisconnect"/>. Those two are never called at the same time, and alternate. Whatever the guest does with its nodes
/// ends in a closed device at worst.
/// </summary>
public abstract class BackendDevice : IDisposable
{
    private const int MostWarnings = 5;

    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _frontendGone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IDisposable? _watch;
    private XenbusState _state = XenbusState.Unknown;
    private bool _isConnected;
    private bool _isRemoving;
    private bool _isDisposed;

    /// <param name="context">The machine.</param>
    /// <param name="type">Device type in node paths, such as "vbd".</param>
    /// <param name="id">Number in node paths.</param>
    protected BackendDevice(DeviceContext context, string type, int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        Context = context;
        FrontendPath = $"{StorePath.OfDomain(context.Domain)}/device/{type}/{id}";
        BackendPath = $"{StorePath.OfDomain(0)}/backend/{type}/{context.Domain}/{id}";
        Name = $"{type}/{id}";
        Logger = new LimitedLogger(context.Loggers.CreateLogger(GetType()), MostWarnings);
    }

    /// <summary>The frontend's directory in the store.</summary>
    public string FrontendPath { get; }

    /// <summary>The backend's directory in the store.</summary>
    public string BackendPath { get; }

    /// <summary>Type and number, for messages.</summary>
    public string Name { get; }

    /// <summary>The backend's state.</summary>
    public XenbusState State
    {
        get
        {
            lock (_gate)
            {
                return _state;
            }
        }
    }

    protected DeviceContext Context { get; }

    /// <summary>Told what the guest and the host do wrong; only the first few of a device's warnings are more than debugging.</summary>
    protected ILogger Logger { get; }

    /// <summary>Frontend state from which on the rings are there: Initialised, or Connected for frontends that skip it.</summary>
    protected virtual XenbusState ConnectAt => XenbusState.Initialised;

    /// <summary>Makes both directories, at once, with the backend ready and the frontend to begin. Call once, before the guest runs or to
    /// plug a device into a running guest.</summary>
    public void Start()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_watch is not null)
            {
                throw new InvalidOperationException($"The device {Name} was started before.");
            }

            Context.Store.Transact(WriteNodes);
            _state = XenbusState.InitWait;
            _watch = Context.Store.Watch($"{FrontendPath}/state", _ => FollowFrontend());
        }
    }

    /// <summary>Unplugs the device: asks the frontend to close, then removes both directories.</summary>
    /// <param name="patience">How long the frontend may take; then the device goes without its consent.</param>
    /// <returns>Whether the frontend closed by itself.</returns>
    public async Task<bool> RemoveAsync(TimeSpan patience)
    {
        lock (_gate)
        {
            if (_isDisposed || _watch is null)
            {
                return true;
            }

            _isRemoving = true;
            Context.Store.Transact(batch => WriteIfPresent(batch, "online", "0"));
            SetState(XenbusState.Closing);
        }

        FollowFrontend();
        bool isWilling = await Task.WhenAny(_frontendGone.Task, Task.Delay(patience)).ConfigureAwait(false) == _frontendGone.Task;
        lock (_gate)
        {
            Disconnect();
            SetState(XenbusState.Closed);
        }

        Dispose();
        Context.Store.Transact(batch =>
        {
            batch.Remove(FrontendPath);
            batch.Remove(BackendPath);
        });
        return isWilling;
    }

    /// <summary>Stops serving, without a word to the guest: for the end of the machine.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return;
            }

            _isDisposed = true;
            _watch?.Dispose();
            Disconnect();
        }

        DisposeCore();
        GC.SuppressFinalize(this);
    }

    /// <summary>Adds the device's own keys of both directories.</summary>
    /// <param name="frontend">Keys and values for the frontend's directory; backend, backend-id and state are there.</param>
    /// <param name="backend">Keys and values for the backend's directory; frontend, frontend-id, online and state are there.</param>
    protected abstract void Describe(IDictionary<string, string> frontend, IDictionary<string, string> backend);

    /// <summary>The frontend has written its rings and channels: map them and start serving.</summary>
    /// <exception cref="FrontendException">They make no sense.</exception>
    protected abstract void OnConnect();

    /// <summary>Stop serving, and give up what <see cref="OnConnect"/> took, even if it failed half-way.</summary>
    protected abstract void OnDisconnect();

    /// <summary>Frees what the device holds apart from its connection; called once.</summary>
    protected virtual void DisposeCore()
    {
    }

    /// <summary>Reads one of the frontend's keys.</summary>
    /// <param name="key">Path below the frontend's directory.</param>
    /// <returns>Whatever the guest wrote, or null.</returns>
    protected string? ReadFrontend(string key) => Context.Store.Read($"{FrontendPath}/{key}");

    /// <summary>Reads a decimal number from one of the frontend's keys.</summary>
    /// <exception cref="FrontendException">Not there, no number, or above the maximum.</exception>
    protected uint ReadFrontendNumber(string key, uint maximum = uint.MaxValue) =>
        uint.TryParse(ReadFrontend(key), NumberStyles.None, CultureInfo.InvariantCulture, out uint value) && value <= maximum
            ? value
            : throw new FrontendException($"'{key}' is no number up to {maximum}");

    /// <summary>Reads a switch from one of the frontend's keys: on if it is "1".</summary>
    protected bool ReadFrontendFlag(string key) => ReadFrontend(key) == "1";

    /// <summary>Maps the pages whose grant references are in the frontend's keys, in order.</summary>
    /// <exception cref="FrontendException">A key is missing or a page is not granted for writing.</exception>
    protected GuestPages MapPages(params ReadOnlySpan<string> keys)
    {
        uint[] references = new uint[keys.Length];
        for (int i = 0; i < keys.Length; i++)
        {
            references[i] = ReadFrontendNumber(keys[i]);
        }

        return Context.Grants.TryMapPages(references, out GuestPages? pages)
            ? pages
            : throw new FrontendException($"'{keys[0]}' names a page that is not granted");
    }

    /// <summary>Binds the event channel whose port is in one of the frontend's keys.</summary>
    /// <param name="key">The key.</param>
    /// <param name="onNotify">Called on a vCPU's thread when the guest notifies, and once before this returns; must be quick and not
    /// block.</param>
    /// <exception cref="FrontendException">The key is missing or the port is not the guest's to give.</exception>
    protected HostChannel BindChannel(string key, Action onNotify) =>
        Context.Events.BindHost(ReadFrontendNumber(key), onNotify, out HostChannel? channel) == 0
            ? channel!
            : throw new FrontendException($"'{key}' names no event channel that waits for the host");

    /// <summary>Changes keys of the backend's directory while the device exists, at once.</summary>
    protected void UpdateBackend(params (string Key, string Value)[] values) => Context.Store.Transact(batch =>
    {
        foreach ((string key, string value) in values)
        {
            WriteIfPresent(batch, key, value);
        }
    });

    /// <summary>Gives the device up after the guest broke its protocol: logs why, tells the guest, and stops serving. Returns at once,
    /// so it may be called on a thread that <see cref="OnDisconnect"/> waits for.</summary>
    protected void Fail(string reason) => ThreadPool.QueueUserWorkItem(_ =>
    {
        lock (_gate)
        {
            FailNow(reason);
        }
    });

    private void WriteNodes(StoreBatch batch)
    {
        Dictionary<string, string> frontend = new()
        {
            ["backend"] = BackendPath,
            ["backend-id"] = "0",
            ["state"] = Text(XenbusState.Initialising),
        };
        Dictionary<string, string> backend = new()
        {
            ["frontend"] = FrontendPath,
            ["frontend-id"] = $"{Context.Domain}",
            ["online"] = "1",
            ["state"] = Text(XenbusState.InitWait),
        };
        Describe(frontend, backend);
        batch.Remove(BackendPath);
        batch.Remove(FrontendPath);
        WriteDirectory(batch, BackendPath, StorePermissions.ReadableBy(Context.Domain), backend);
        WriteDirectory(batch, FrontendPath, StorePermissions.Of(Context.Domain, StoreAccess.None, (0, StoreAccess.Read)), frontend);
    }

    private static void WriteDirectory(StoreBatch batch, string path, StorePermissions permissions, Dictionary<string, string> values)
    {
        batch.MakeDirectory(path, permissions);
        foreach ((string key, string value) in values)
        {
            batch.Write($"{path}/{key}", value);
        }
    }

    private static string Text(XenbusState state) => ((int)state).ToString(CultureInfo.InvariantCulture);

    private XenbusState FrontendState() =>
        uint.TryParse(ReadFrontend("state"), NumberStyles.None, CultureInfo.InvariantCulture, out uint value) && value <= (uint)XenbusState.Reconfigured
            ? (XenbusState)value
            : XenbusState.Unknown;

    private void FollowFrontend()
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return;
            }

            // The state as it is now: the change that called us may be history.
            XenbusState frontend = FrontendState();
            switch (frontend)
            {
                case XenbusState.Initialising when _state != XenbusState.InitWait && !_isRemoving:
                    // The driver was loaded anew.
                    Disconnect();
                    SetState(XenbusState.InitWait);
                    break;
                case XenbusState.Initialised or XenbusState.Connected when frontend >= ConnectAt && _state == XenbusState.InitWait:
                    Connect();
                    break;
                case XenbusState.Closing when _state is not (XenbusState.Closing or XenbusState.Closed):
                    Disconnect();
                    SetState(XenbusState.Closing);
                    break;
                case XenbusState.Closed or XenbusState.Unknown:
                    Disconnect();
                    SetState(XenbusState.Closed);
                    _frontendGone.TrySetResult();
                    break;
            }

            if (_isRemoving && frontend is XenbusState.Initialising)
            {
                // No driver has taken the device, so nobody will close it.
                _frontendGone.TrySetResult();
            }
        }
    }

    private void Connect()
    {
        _isConnected = true;
        try
        {
            OnConnect();
            SetState(XenbusState.Connected);
        }
        catch (FrontendException exception)
        {
            FailNow(exception.Message);
        }
        catch (Exception exception)
        {
            Logger.LogError(exception, "Device {Name} could not connect", Name);
            FailNow("an internal error");
        }
    }

    private void FailNow(string reason)
    {
        if (_isDisposed || !_isConnected)
        {
            return;
        }

        Logger.LogWarning("Device {Name} closed: {Reason}", Name, reason);
        Context.Store.Write($"{StorePath.OfDomain(0)}/error/backend/{Name}/error", reason);
        Disconnect();
        SetState(XenbusState.Closing);
    }

    private void Disconnect()
    {
        if (_isConnected)
        {
            _isConnected = false;
            OnDisconnect();
        }
    }

    private void SetState(XenbusState state)
    {
        if (_state != state)
        {
            _state = state;
            Context.Store.Transact(batch => WriteIfPresent(batch, "state", Text(state)));
        }
    }

    // The directory may be gone already, when the whole domain is being removed.
    private void WriteIfPresent(StoreBatch batch, string key, string value)
    {
        if (batch.Read(BackendPath) is not null)
        {
            batch.Write($"{BackendPath}/{key}", value);
        }
    }
}
