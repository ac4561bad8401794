using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Execution;

/// <summary>Managed entry points of emitted code. They never let an exception out.</summary>
internal static unsafe class Callbacks
{
    public static nint EntryPoint(CallbackKind kind) => (nint)(kind switch
    {
        CallbackKind.Access => (delegate* unmanaged<nint, nint>)&Access,
        CallbackKind.StackWindow => (delegate* unmanaged<nint, nint>)&StackWindow,
        CallbackKind.Bounce => (delegate* unmanaged<nint, nint>)&Bounce,
        CallbackKind.BounceFinish => (delegate* unmanaged<nint, nint>)&BounceFinish,
        CallbackKind.Interpret => (delegate* unmanaged<nint, nint>)&Interpret,
        CallbackKind.Link => (delegate* unmanaged<nint, nint>)&Link,
        CallbackKind.Dispatch => (delegate* unmanaged<nint, nint>)&Dispatch,
        CallbackKind.Poll => (delegate* unmanaged<nint, nint>)&Poll,
        CallbackKind.PageCheck => (delegate* unmanaged<nint, nint>)&PageCheck,
        CallbackKind.Syscall => (delegate* unmanaged<nint, nint>)&Syscall,
        CallbackKind.Environment => (delegate* unmanaged<nint, nint>)&Environment,
        CallbackKind.Raise => (delegate* unmanaged<nint, nint>)&Raise,
        _ => (delegate* unmanaged<nint, nint>)&Fault,
    });

    private static Vcpu Of(nint handle) => (Vcpu)GCHandle.FromIntPtr(handle).Target!;

    [UnmanagedCallersOnly]
    private static nint Access(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnAccess();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint StackWindow(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnStackWindow();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Bounce(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnBounce();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint BounceFinish(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnBounceFinish();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Interpret(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnInterpret();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Link(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnLink();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Dispatch(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnDispatch();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Poll(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnPoll();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint PageCheck(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnPageCheck();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Syscall(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnSyscall();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Environment(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnEnvironment();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Raise(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnRaise();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }

    [UnmanagedCallersOnly]
    private static nint Fault(nint handle)
    {
        Vcpu cpu = Of(handle);
        try
        {
            return cpu.OnFault();
        }
        catch (Exception failure)
        {
            return cpu.Fail(failure);
        }
    }
}
