namespace CooperativeLinux.Monitor.Machine;

/// <summary>Time as the hypercalls need it.</summary>
internal interface IDomainClock
{
    /// <summary>Nanoseconds since the domain started.</summary>
    ulong SystemTime { get; }

    /// <summary>The guest's time stamp counter.</summary>
    ulong ReadTimestamp();

    /// <summary>Raises the timer interrupt of a vCPU at a system time, at once if that has passed. Replaces an earlier one.</summary>
    void SetTimer(int vcpu, ulong deadline);

    void StopTimer(int vcpu);

    /// <summary>Writes the time parameters to the vCPU's vcpu_info, wherever it is now.</summary>
    void PublishTime(int vcpu);

    /// <summary>Keeps a second copy of the time parameters at a guest-physical address; null: no longer.</summary>
    bool SetSecondaryTimeArea(int vcpu, ulong? address);
}
