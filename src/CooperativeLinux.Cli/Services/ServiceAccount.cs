using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.Versioning;
using System.Security.AccessControl;
using System.Security.Cryptography;
using System.Security.Principal;
using System.Text;

namespace CooperativeLinux.Cli.Services;

/// <summary>
/// The account of a service's own (a virtual account), which Windows makes from the service's name. It has the rights of an
/// ordinary user, no password, and nothing of anybody's.
/// </summary>
/// <param name="service">The service's name.</param>
internal sealed class ServiceAccount(string service)
{
    /// <summary>The account's name.</summary>
    public string Name => $@"NT SERVICE\{service}";

    /// <summary>
    /// The account's security identifier: S-1-5-80 and the SHA-1 of the upper-case name in UTF-16, as five numbers ([MS-DTYP] 2.4.2.4).
    /// Computed, since the account cannot be looked up before its service exists.
    /// </summary>
    [SuppressMessage("Security", "CA5350", Justification = "It is what Windows computes; it protects nothing.")]
    public string Identifier
    {
        get
        {
            byte[] hash = SHA1.HashData(Encoding.Unicode.GetBytes(service.ToUpperInvariant()));
            return "S-1-5-80-" + string.Join('-', Enumerable.Range(0, 5).Select(i => BinaryPrimitives.ReadUInt32LittleEndian(hash.AsSpan(i * 4))));
        }
    }

    /// <summary>Lets the account use a folder and all that is in it.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="isWritable">Whether it may change things there.</param>
    /// <exception cref="UnauthorizedAccessException">The folder is not the user's.</exception>
    [SupportedOSPlatform("windows")]
    public void Permit(string folder, bool isWritable) => Change(folder, security => security.SetAccessRule(Rule(
        isWritable ? FileSystemRights.Modify | FileSystemRights.Synchronize : FileSystemRights.ReadAndExecute | FileSystemRights.Synchronize)));

    /// <summary>Takes back what <see cref="Permit"/> gave.</summary>
    /// <exception cref="UnauthorizedAccessException">The folder is not the user's.</exception>
    [SupportedOSPlatform("windows")]
    public void Forbid(string folder) => Change(folder, security => security.RemoveAccessRuleAll(Rule(FileSystemRights.ReadAndExecute)));

    [SupportedOSPlatform("windows")]
    private static void Change(string folder, Action<DirectorySecurity> change)
    {
        DirectoryInfo directory = new(folder);
        DirectorySecurity security = directory.GetAccessControl(AccessControlSections.Access);
        change(security);
        directory.SetAccessControl(security);
    }

    [SupportedOSPlatform("windows")]
    private FileSystemAccessRule Rule(FileSystemRights rights) => new(
        new SecurityIdentifier(Identifier), rights, InheritanceFlags.ContainerInherit | InheritanceFlags.ObjectInherit, PropagationFlags.None, AccessControlType.Allow);
}
