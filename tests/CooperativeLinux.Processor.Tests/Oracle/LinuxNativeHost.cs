using System.ComponentModel;
using System.Runtime.InteropServices;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>Everything <see cref="NativeRunner"/> needs from the operating system; the only place with system calls.</summary>
internal static unsafe partial class LinuxNativeHost
{
    /// <summary>SIGUSR2: ends a run that takes too long.</summary>
    public const int WatchdogSignal = 12;

    /// <summary>SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: how processor exceptions arrive.</summary>
    public static readonly int[] FaultSignals = [4, 5, 7, 8, 11];

    private const int ProtRead = 1, ProtWrite = 2, ProtExecute = 4;
    private const int MapShared = 1, MapPrivate = 2, MapAnonymous = 0x20, MapPopulate = 0x8000, MapFixedNoReplace = 0x10_0000;
    private const int SaSigInfo = 4, SaOnStack = 0x0800_0000, SigSetMask = 2, SigStackDisabled = 2;

    public static bool IsSupported { get; } = OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64
        && System.Runtime.Intrinsics.X86.Avx2.IsSupported && HasFsGsBase();

    public static int CurrentThread => (int)SystemCall(186, 0, 0, 0);

    /// <summary>Creates a memory object that can be mapped several times.</summary>
    public static int CreateSection(int size)
    {
        int descriptor = MemfdCreate("processor-tests", 1);
        Check(descriptor, "memfd_create");
        Check(Truncate(descriptor, size), "ftruncate");
        return descriptor;
    }

    /// <summary>Maps part of a section, all pages present; at exactly <paramref name="address"/> unless that is 0.</summary>
    public static byte* MapSection(int descriptor, long offset, ulong address, int size, bool write, bool execute)
    {
        int protection = ProtRead | (write ? ProtWrite : 0) | (execute ? ProtExecute : 0);
        return Map(address, size, protection, MapShared, descriptor, offset);
    }

    /// <summary>Maps private memory for thunks.</summary>
    public static byte* MapPrivateExecutable(ulong address, int size) =>
        Map(address, size, ProtRead | ProtWrite | ProtExecute, MapPrivate | MapAnonymous, -1, 0);

    /// <summary>Installs a handler that runs on the signal stack.</summary>
    /// <returns>The handler before it, 0 if it was the default action.</returns>
    public static ulong InstallHandler(int signal, ulong handler)
    {
        SignalAction previous;
        Check(SigAction(signal, null, &previous), "sigaction");
        SignalAction action = previous;
        action.Handler = handler;
        action.Flags = previous.Flags | SaSigInfo | SaOnStack;
        Check(SigAction(signal, &action, null), "sigaction");
        return previous.Handler <= 1 ? 0 : previous.Handler;
    }

    /// <summary>Bounds of the calling thread's signal stack; every thread of the runtime has one.</summary>
    public static void GetSignalStack(out ulong low, out ulong high)
    {
        SignalStack stack;
        Check(SigAltStack(null, &stack), "sigaltstack");
        if ((stack.Flags & SigStackDisabled) != 0)
        {
            throw new InvalidOperationException("This thread has no signal stack.");
        }

        low = stack.Pointer;
        high = stack.Pointer + stack.Size;
    }

    /// <summary>Blocks all signals but those of processor exceptions and the watchdog.</summary>
    public static void BlockSignals(SignalSet* previous)
    {
        SignalSet set;
        ulong open = 1ul << (WatchdogSignal - 1);
        foreach (int signal in FaultSignals)
        {
            open |= 1ul << (signal - 1);
        }

        set.Words[0] = ~open;
        for (int i = 1; i < 16; i++)
        {
            set.Words[i] = ulong.MaxValue;
        }

        Check(PthreadSigmask(SigSetMask, &set, previous), "pthread_sigmask");
    }

    public static void RestoreSignals(SignalSet* previous) => PthreadSigmask(SigSetMask, previous, null);

    public static void Interrupt(int thread) => SystemCall(234, Environment.ProcessId, thread, WatchdogSignal);

    /// <summary>Tries rdfsbase: AT_HWCAP2 does not tell, since a kernel that does not use the instructions may leave them on.</summary>
    private static bool HasFsGsBase()
    {
        const int IllegalInstruction = 4;
        byte* memory = MapPrivateExecutable(0, 4096);
        byte[] code = NativeThunks.EmitProbe((ulong)memory, out NativeThunks.Addresses addresses);
        code.CopyTo(new Span<byte>(memory, code.Length));
        SignalAction previous;
        Check(SigAction(IllegalInstruction, null, &previous), "sigaction");
        InstallHandler(IllegalInstruction, addresses.Handler);
        bool isThere = ((delegate* unmanaged<int>)addresses.Enter)() != 0;
        Check(SigAction(IllegalInstruction, &previous, null), "sigaction");
        MemoryUnmap((nint)memory, 4096);
        return isThere;
    }

    private static byte* Map(ulong address, int size, int protection, int flags, int descriptor, long offset)
    {
        nint result = MemoryMap((nint)address, size, protection, flags | MapPopulate | (address != 0 ? MapFixedNoReplace : 0), descriptor, offset);
        if (result == -1 || (address != 0 && result != (nint)address))
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError(), $"mmap of {size} bytes at {address:x}: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        return (byte*)result;
    }

    private static void Check(int result, string call)
    {
        if (result < 0)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError(), $"{call}: {Marshal.GetLastPInvokeErrorMessage()}");
        }
    }

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MemfdCreate(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    private static partial int Truncate(int descriptor, long size);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint MemoryMap(nint address, nint size, int protection, int flags, int descriptor, long offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int MemoryUnmap(nint address, nint size);

    [LibraryImport("libc", EntryPoint = "sigaction", SetLastError = true)]
    private static partial int SigAction(int signal, SignalAction* action, SignalAction* previous);

    [LibraryImport("libc", EntryPoint = "sigaltstack", SetLastError = true)]
    private static partial int SigAltStack(SignalStack* stack, SignalStack* previous);

    [LibraryImport("libc", EntryPoint = "pthread_sigmask")]
    private static partial int PthreadSigmask(int how, SignalSet* set, SignalSet* previous);

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial long SystemCall(long number, long first, long second, long third);

    /// <summary>sigset_t of the C library.</summary>
    internal struct SignalSet
    {
        public fixed ulong Words[16];
    }

    /// <summary>struct sigaction of the C library.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct SignalAction
    {
        public ulong Handler;
        public SignalSet Mask;
        public int Flags;
        public ulong Restorer;
    }

    /// <summary>stack_t.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct SignalStack
    {
        public ulong Pointer;
        public int Flags;
        public ulong Size;
    }
}
