using System.IO.Pipes;
using System.Security.Cryptography;
using System.Text;

namespace CooperativeLinux.Control;

/// <summary>
/// Where the control connections of a machine meet: a Unix socket at the machine's path on Linux, a named pipe on Windows, whose
/// name is made of the path. Both are only for the user who owns the machine.
/// </summary>
internal static class ControlEndpoint
{
    // sizeof(sockaddr_un.sun_path) without the ending zero (unix(7)).
    private const int MaxSocketPath = 107;

    /// <summary>What is put before the hash in the name of a pipe.</summary>
    private const string PipePrefix = "colinux-";

    /// <summary>Opens the machine's side of one connection, and waits for nobody yet.</summary>
    /// <exception cref="IOException">The host refuses.</exception>
    public static NamedPipeServerStream Listen(string path) => new(
        NameOf(path),
        PipeDirection.InOut,
        NamedPipeServerStream.MaxAllowedServerInstances,
        PipeTransmissionMode.Byte,
        PipeOptions.Asynchronous | PipeOptions.CurrentUserOnly);

    /// <summary>Opens the other side.</summary>
    /// <returns>Null if there is no machine.</returns>
    public static async Task<NamedPipeClientStream?> ConnectAsync(string path, TimeSpan patience, CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsWindows() && !File.Exists(path))
        {
            return null;
        }

        NamedPipeClientStream stream = new(".", NameOf(path), PipeDirection.InOut, PipeOptions.Asynchronous | PipeOptions.CurrentUserOnly);
        try
        {
            await stream.ConnectAsync(patience, cancellationToken).ConfigureAwait(false);
            return stream;
        }
        catch (Exception error)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            if (error is TimeoutException or IOException)
            {
                return null;
            }

            throw;
        }
    }

    // .NET makes named pipes of Unix sockets there, and takes a full path as the socket's.
    private static string NameOf(string path)
    {
        path = Path.GetFullPath(path);
        if (OperatingSystem.IsWindows())
        {
            byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(path.ToUpperInvariant()));
            return PipePrefix + Convert.ToHexStringLower(hash.AsSpan(0, 16));
        }

        int length = Encoding.UTF8.GetByteCount(path);
        return length <= MaxSocketPath
            ? path
            : throw new IOException($"the path of the control socket has {length} bytes, the most is {MaxSocketPath}: {path}");
    }
}
