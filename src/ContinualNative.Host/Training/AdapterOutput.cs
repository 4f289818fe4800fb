using ContinualNative.Host.Serving;
using ContinualNative.Interop.Trainer;

namespace ContinualNative.Host.Training;

/// <summary>Where the adapter goes: a <c>.gguf</c> file, or a folder in PEFT's form. It appears whole or not at all.</summary>
internal sealed class AdapterOutput
{
    private const string Config = "adapter_config.json";
    private readonly string _parent;

    private AdapterOutput(string path, bool peft)
    {
        Path = path;
        IsPeft = peft;
        _parent = System.IO.Path.GetDirectoryName(path)!;
    }

    /// <summary>The file or folder.</summary>
    public string Path { get; }

    /// <summary>Whether it is a folder in PEFT's form.</summary>
    public bool IsPeft { get; }

    /// <summary>Checks that it can be written, before there is anything to write. Throws <see cref="SettingException"/>.</summary>
    public static AdapterOutput Create(string path, bool peft)
    {
        string full = System.IO.Path.GetFullPath(path).TrimEnd(System.IO.Path.DirectorySeparatorChar);
        bool gguf = full.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase);
        if (gguf == peft)
        {
            throw new SettingException("out", gguf
                ? $"'{path}' is a GGUF file by its name, and --peft asks for a folder in PEFT's form; choose one"
                : $"'{path}' must end in .gguf; for a folder in PEFT's form, add --peft");
        }
        AdapterOutput output = new(full, peft);
        if (gguf && Directory.Exists(full))
        {
            throw new SettingException("out", $"'{path}' is a folder, not a file");
        }
        if (peft && (File.Exists(full) || (Directory.Exists(full) && Directory.EnumerateFileSystemEntries(full).Any() && !File.Exists(System.IO.Path.Combine(full, Config)))))
        {
            throw new SettingException("out", $"'{path}' exists and is no adapter's folder; name another one");
        }
        if (!Directory.Exists(output._parent))
        {
            throw new SettingException("out", $"there is no folder '{output._parent}' to write into; make it first");
        }
        string probe = output.Temporary(".probe");
        try
        {
            File.WriteAllBytes(probe, [0]);
            File.Delete(probe);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SettingException("out", $"the folder '{output._parent}' can't be written into: {e.Message.TrimEnd('.')}");
        }
        return output;
    }

    /// <summary>Writes the trainer's adapter.</summary>
    public void Write(TrainerHandle trainer, string baseModel)
    {
        if (!IsPeft)
        {
            // Written beside and renamed by the library itself.
            trainer.ExportAdapter(Path, baseModel);
            return;
        }
        string temporary = Temporary(".part");
        Remove(temporary);
        try
        {
            trainer.ExportAdapter(temporary, baseModel);
            if (!Directory.Exists(Path))
            {
                Directory.Move(temporary, Path);
                return;
            }
            // The config last: without it, the folder is no adapter.
            File.Delete(System.IO.Path.Combine(Path, Config));
            foreach (string file in Directory.EnumerateFiles(temporary).OrderBy(static f => System.IO.Path.GetFileName(f) == Config))
            {
                File.Move(file, System.IO.Path.Combine(Path, System.IO.Path.GetFileName(file)), overwrite: true);
            }
        }
        finally
        {
            Remove(temporary);
        }
    }

    /// <summary>Writes a file of the caller's making; <paramref name="check"/> may look at it before it stands under its name.</summary>
    public async Task WriteFileAsync(Action<string> write, Func<string, Task> check)
    {
        string temporary = Temporary(".part.gguf");
        try
        {
            write(temporary);
            await check(temporary);
            File.Move(temporary, Path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private static void Remove(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private string Temporary(string extension) => System.IO.Path.Combine(_parent, $".{System.IO.Path.GetFileName(Path)}{extension}");
}
