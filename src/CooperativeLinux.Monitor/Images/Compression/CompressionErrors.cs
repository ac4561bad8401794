namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>The one-line messages all decoders share.</summary>
internal static class CompressionErrors
{
    /// <summary>The data break a rule of their format, or a check sum differs.</summary>
    public static InvalidImageException Corrupt(string format, string detail) =>
        new($"the {format} data are corrupt ({detail})");

    /// <summary>The data end too soon.</summary>
    public static InvalidImageException Truncated(string format) => new($"the {format} data are truncated");

    /// <summary>There is more output than the image states.</summary>
    public static InvalidImageException TooLong(string format) =>
        new($"the {format} data unpack to more bytes than the image states");

    /// <summary>A correct file uses something that no kernel does.</summary>
    public static InvalidImageException Unsupported(string format, string detail) =>
        new($"the {format} data use {detail}, which is not supported");
}
