namespace CooperativeLinux.Devices.Network;

/// <summary>The host does not give what a network needs; the message is one line for the user.</summary>
public sealed class NetworkException(string message, Exception? inner = null) : Exception(message, inner);
