using CooperativeLinux.Bench.Compare;

namespace CooperativeLinux.Bench;

/// <summary>A program of the host with its shared libraries, for a guest that has none.</summary>
internal static class DynamicProgram
{
    /// <summary>Name of the loader among the copies; start a program with: loader --library-path FOLDER PROGRAM.</summary>
    public const string Loader = "ld-linux-x86-64.so.2";

    /// <summary>Copies a program, its libraries and their loader into one folder, which is made.</summary>
    /// <param name="program">Its path.</param>
    /// <param name="folder">Where to.</param>
    public static async Task CopyAsync(string program, string folder)
    {
        Directory.CreateDirectory(folder);
        File.Copy(program, Path.Combine(folder, Path.GetFileName(program)));
        string libraries = await Workloads.RunAsync("ldd", [program]).ConfigureAwait(false);
        foreach (string word in libraries.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Where(word => word.StartsWith('/')))
        {
            File.Copy(word, Path.Combine(folder, Path.GetFileName(word)));
        }
    }
}
