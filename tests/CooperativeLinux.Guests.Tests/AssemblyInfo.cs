using System.Runtime.Versioning;

// Guests are built with Debian's tools.
[assembly: SupportedOSPlatform("linux")]
