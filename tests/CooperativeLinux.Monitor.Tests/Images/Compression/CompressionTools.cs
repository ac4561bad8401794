using System.Diagnostics;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images.Compression;

/// <summary>Runs the compressors of the distribution.</summary>
internal static class CompressionTools
{
    /// <summary>Compresses bytes: the tool gets the options and the name of a file, and writes to its output.</summary>
    public static byte[] Compress(string tool, string options, byte[] content)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no xz, zstd, lz4 and gzip commands");
        }

        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, content);
            ProcessStartInfo start = new(tool, $"{options} {path}")
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using Process process = Process.Start(start)!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            using MemoryStream output = new();
            process.StandardOutput.BaseStream.CopyTo(output);
            process.WaitForExit();
            Assert.Equal(0, process.ExitCode);
            return output.ToArray();
        }
        finally
        {
            File.Delete(path);
        }
    }
}
