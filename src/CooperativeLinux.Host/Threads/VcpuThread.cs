using System.Runtime.CompilerServices;

namespace CooperativeLinux.Host.Threads;

/// <summary>Starts threads that run guest code.</summary>
public static class VcpuThread
{
    /// <summary>Bytes of stack.</summary>
    public const int StackSize = 16 << 20;

    /// <summary>Bytes of stack that are backed by memory before the body starts, so that guest code takes no page faults there.</summary>
    public const int TouchedSize = 1 << 20;

    private const int PageSize = 4096;

    /// <summary>Starts a background thread.</summary>
    /// <param name="body">What it does. An exception that leaves it ends the process, as on any thread.</param>
    /// <param name="name">Name for debuggers and system tools; Linux shows 15 characters.</param>
    public static Thread Start(Action body, string name)
    {
        ArgumentNullException.ThrowIfNull(body);
        ArgumentException.ThrowIfNullOrEmpty(name);
        Thread thread = new(() => Run(body), StackSize) { IsBackground = true, Name = name };
        thread.Start();
        return thread;
    }

    private static void Run(Action body)
    {
        TouchStack();
        body();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    [SkipLocalsInit]
    private static unsafe void TouchStack()
    {
        // SAFETY: the thread has just begun with a stack 16 times as large; from the top down, as stacks grow.
        byte* bottom = stackalloc byte[TouchedSize];
        for (int offset = TouchedSize - PageSize; offset >= 0; offset -= PageSize)
        {
            Volatile.Write(ref bottom[offset], 0);
        }
    }
}
