using System.CommandLine;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Adapters;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Training;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual adapters import|export</c>: GGUF files and PEFT folders into the data folder and out of it.</summary>
internal static class AdapterFilesCommand
{
    public static Command Import()
    {
        Argument<string> source = new("FILE_OR_FOLDER") { Description = "A LoRA as GGUF, or a folder in PEFT's form (adapter_config.json, adapter_model.safetensors)." };
        Option<string> id = new("--id") { Description = "What it is to be called (default: the file's or folder's name).", HelpName = "ID" };
        Option<string> note = new("--note") { Description = "A note to keep with it.", HelpName = "TEXT", DefaultValueFactory = static _ => "" };
        Command command = new("import", "Bring an adapter into the data folder: checked against the model, copied, and recorded. 'continual adapters promote' makes it answer.") { source, id, note };
        return StoreAccess.On(command, "adapters import", ["model"], async (call, cancel) =>
        {
            string path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(call.Parsed.GetValue(source)!));
            string name = call.Parsed.GetValue(id) ?? (Directory.Exists(path) ? Path.GetFileName(path) : Path.GetFileNameWithoutExtension(path));
            if (!ModelAddress.IsValidAdapterId(name))
            {
                throw new SettingException("id", $"'{CommandRun.Printable(name)}' can't name an adapter: use 1 to 64 letters, digits, '-', '_' or '.', and not 'base'");
            }
            Func<string, Task> write = WriterOf(path, call.Options.Model, cancel);
            BaseModel model = BaseModel.Read(call.Options);
            AdapterIntake intake = new(new AdapterShelf(call.Options.Data, call.Store), call.Store, model, TimeProvider.System);
            AdapterRecord adapter = await intake.TakeAsync(name, path, call.Parsed.GetValue(note)!, write, cancel);
            if (call.Json)
            {
                CommandRun.WriteJson(json =>
                {
                    json.WritePropertyName("adapter");
                    CycleText.Write(json, adapter);
                });
            }
            else
            {
                Console.Out.WriteLine($"{adapter.Id}  rank {adapter.Rank}  {ByteText.Of(adapter.Bytes)}");
                Console.Error.WriteLine($"'continual adapters promote {adapter.Id}' makes it champion.");
            }
            return ExitCodes.Ok;
        });
    }

    public static Command Export()
    {
        Argument<string> id = new("ID") { Description = "The adapter." };
        Option<string> output = new("--out") { Description = "The .gguf file to write, or with --peft the folder.", HelpName = "PATH", Required = true };
        Option<bool> peft = new("--peft") { Description = "Write a folder in PEFT's form (safetensors); needs --model." };
        Command command = new("export", "Take an adapter out of the data folder, as the file that it is or in PEFT's form.") { id, output, peft };
        return StoreAccess.On(command, "adapters export", ["model"], async (call, cancel) =>
        {
            AdapterRecord adapter = AdaptersCommand.Find(call.Store, call.Parsed.GetValue(id)!);
            AdapterOutput target = AdapterOutput.Create(call.Parsed.GetValue(output)!, call.Parsed.GetValue(peft));
            string file = new AdapterShelf(call.Options.Data, call.Store).Verify(adapter);
            if (target.IsPeft)
            {
                BaseModel model = BaseModel.Read(call.Options);
                AdapterFile.Read(file).CheckAgainst(model.Head);
                await Task.Run(() => AdapterForms.ToPeft(model.Path, file, target), cancel);
            }
            else
            {
                await target.WriteFileAsync(temporary => File.Copy(file, temporary, overwrite: true), static _ => Task.CompletedTask);
            }
            if (call.Json)
            {
                CommandRun.WriteJson(json =>
                {
                    json.WriteString("adapter", adapter.Id);
                    json.WriteString("path", target.Path);
                    json.WriteString("form", target.IsPeft ? "peft" : "gguf");
                });
            }
            else
            {
                Console.Out.WriteLine(target.Path);
            }
            return ExitCodes.Ok;
        });
    }

    // What can be told from the source alone is told before anything is copied, with its own name.
    private static Func<string, Task> WriterOf(string path, string model, CancellationToken cancellationToken)
    {
        if (AdapterForms.IsPeft(path))
        {
            return target => Task.Run(() => AdapterForms.ToGguf(model, path, target), cancellationToken);
        }
        if (!File.Exists(path))
        {
            throw new SettingException("FILE_OR_FOLDER", Directory.Exists(path) ? $"the folder '{path}' is none in PEFT's form: it has no adapter_config.json" : $"there is no '{path}'", "FILE_OR_FOLDER");
        }
        AdapterFile.Read(path);
        return AdapterIntake.CopyOf(path, cancellationToken);
    }
}
