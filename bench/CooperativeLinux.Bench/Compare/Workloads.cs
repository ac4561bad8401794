using System.Diagnostics;

namespace CooperativeLinux.Bench.Compare;

/// <summary>The compiled programs.</summary>
/// <param name="Folder">Holds <c>suite</c> and <c>true</c>, both static, and Lua in a folder of its own; nothing else.</param>
/// <param name="Compiler">Name and version.</param>
internal sealed record Workloads(string Folder, string Compiler)
{
    private const string Compile = "-O2 -Wall";

    public string Suite => Path.Combine(Folder, "suite");

    public string True => Path.Combine(Folder, "true");

    /// <summary>The programs and what they need, paths relative to <see cref="Folder"/>.</summary>
    public IEnumerable<string> Files => Directory.EnumerateFiles(Folder, "*", SearchOption.AllDirectories)
        .Select(file => Path.GetRelativePath(Folder, file));

    /// <summary>Whether Debian's Lua is among them.</summary>
    public bool HasLua => File.Exists(Path.Combine(Folder, "lua", "lua5.4"));

    /// <param name="sources">The folder of the sources.</param>
    /// <param name="folder">An empty folder for the programs.</param>
    /// <exception cref="BenchException">There is no gcc, or it reports an error.</exception>
    public static async Task<Workloads> BuildAsync(string sources, string folder)
    {
        string[] files = Directory.Exists(sources) ? Directory.GetFiles(sources, "*.c") : [];
        if (files.Length == 0)
        {
            throw new BenchException($"{sources} holds no C sources");
        }

        string version = (await RunAsync("gcc", ["-dumpfullversion"]).ConfigureAwait(false)).Trim();
        string objectFolder = Directory.CreateTempSubdirectory("colinux-bench-objects-").FullName;
        Workloads result = new(folder, "gcc " + version);
        try
        {
            List<string> objects = [];
            foreach (string file in files.Where(file => Path.GetFileName(file) != "true.c"))
            {
                string target = Path.Combine(objectFolder, Path.GetFileNameWithoutExtension(file) + ".o");
                string[] machine = Path.GetFileName(file) == "vector.c" ? ["-march=x86-64-v3"] : [];
                await RunAsync("gcc", [.. Compile.Split(' '), .. machine, "-c", file, "-o", target]).ConfigureAwait(false);
                objects.Add(target);
            }

            await RunAsync("gcc", ["-static", .. objects, "-lm", "-o", result.Suite]).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(objectFolder, recursive: true);
        }

        await RunAsync("gcc", [.. Compile.Split(' '), "-static", Path.Combine(sources, "true.c"), "-o", result.True]).ConfigureAwait(false);
        File.Copy(Path.Combine(sources, "program.lua"), Path.Combine(folder, "program.lua"));
        const string Lua = "/usr/bin/lua5.4";
        if (File.Exists(Lua))
        {
            await DynamicProgram.CopyAsync(Lua, Path.Combine(folder, "lua")).ConfigureAwait(false);
        }

        return result;
    }

    /// <summary>Runs a program that is needed to make the others.</summary>
    /// <returns>Its output.</returns>
    public static async Task<string> RunAsync(string program, string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = await process.StandardOutput.ReadToEndAsync().ConfigureAwait(false);
            await process.WaitForExitAsync().ConfigureAwait(false);
            string message = await errors.ConfigureAwait(false);
            return process.ExitCode == 0
                ? output
                : throw new BenchException($"{program} {string.Join(' ', arguments)} failed:\n{message.TrimEnd()}");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            throw new BenchException($"{program} is needed to make the programs (Debian: apt install gcc libc6-dev)");
        }
    }
}
