namespace CooperativeLinux.Monitor.Events;

/// <summary>Gets the attention of a vCPU.</summary>
public interface IVcpuKick
{
    /// <summary>Wakes the vCPU if it sleeps in SCHEDOP_block or SCHEDOP_poll, else makes it look for events at its next
    /// poll point. Called on any thread, possibly often and without need; must be quick, must not block and must not call back.</summary>
    void Kick(int vcpu);
}
