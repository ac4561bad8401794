using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>
/// Names of the guest as Windows can have them. What has a meaning to Windows - its forbidden characters, a dot or blank at the end, the
/// first letter of a device's name - is kept as the character U+F000 above it, as WSL and Cygwin do, so that such names are plain
/// ones there and none leads to a device, a stream or another folder. Each name of one side has one of the other.
/// </summary>
internal static class WindowsNames
{
    /// <summary>Longest name of NTFS, in UTF-16 units.</summary>
    public const int MaxLength = 255;

    private const char Shift = '\uF000';
    private const string Forbidden = "\"*:<>?\\|";

    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    /// <summary>Turns a name of the guest into one of the host.</summary>
    /// <returns>EINVAL if it is no UTF-8, or stands for another one on the host.</returns>
    public static Errno TryEncode(FileName name, out string text)
    {
        text = "";
        try
        {
            text = s_strict.GetString(name.Bytes);
        }
        catch (DecoderFallbackException)
        {
            return Errno.EINVAL;
        }

        if (Decode(text) != text)
        {
            return Errno.EINVAL;
        }

        bool isDevice = IsDevice(text);
        char[] characters = text.ToCharArray();
        for (int i = 0; i < characters.Length; i++)
        {
            bool isShifted = IsForbidden(characters[i]) || (i == characters.Length - 1 && characters[i] is '.' or ' ') || (i == 0 && isDevice);
            characters[i] = isShifted ? (char)(characters[i] + Shift) : characters[i];
        }

        text = new string(characters);
        return text.Length <= MaxLength ? Errno.None : Errno.ENAMETOOLONG;
    }

    /// <summary>Turns a name of the host into the guest's.</summary>
    /// <returns>The name; null if the guest can have none such.</returns>
    public static string? Decode(string text)
    {
        char[] characters = text.ToCharArray();

        // From the end, since whether the start is a device's name depends on what follows.
        for (int i = characters.Length - 1; i >= 0; i--)
        {
            char plain = (char)(characters[i] - Shift);
            bool isShifted = characters[i] >= Shift && plain < 0x80
                && (IsForbidden(plain) || (i == characters.Length - 1 && plain is '.' or ' ') || (i == 0 && IsDevice(plain + new string(characters, 1, characters.Length - 1))));
            characters[i] = isShifted ? plain : characters[i];
        }

        string name = new(characters);
        return name is "" or "." or ".." || name.Contains('/', StringComparison.Ordinal) || name.Contains('\0', StringComparison.Ordinal) ? null : name;
    }

    private static bool IsForbidden(char character) => character is > '\0' and < ' ' || Forbidden.Contains(character, StringComparison.Ordinal);

    /// <summary>Whether Windows may take a name for a device: "Naming Files, Paths, and Namespaces", with any extension and blanks behind.</summary>
    private static bool IsDevice(string name)
    {
        string stem = name.Split('.', ':')[0].TrimEnd(' ').ToUpperInvariant();
        return stem is "CON" or "PRN" or "AUX" or "NUL" or "CONIN$" or "CONOUT$"
            || (stem.Length == 4 && stem[..3] is "COM" or "LPT" && (char.IsAsciiDigit(stem[3]) || stem[3] is '¹' or '²' or '³'));
    }
}
