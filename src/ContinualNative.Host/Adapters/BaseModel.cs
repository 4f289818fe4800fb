using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Serving;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Host.Adapters;

/// <summary>The model that adapters belong to: enough to tell whether one fits, and to name the model as a server of it would.</summary>
/// <param name="Path">The GGUF file.</param>
/// <param name="Head">Its head.</param>
/// <param name="Fingerprint">As <see cref="ServedModel.Fingerprint"/>.</param>
internal sealed record BaseModel(string Path, GgufFile Head, string Fingerprint)
{
    /// <summary>Reads the model of these settings. Throws <see cref="SettingException"/> without one, and <see cref="EngineException"/> (BadFile).</summary>
    public static BaseModel Read(ServeOptions options)
    {
        string path = options.Model.Length > 0 ? options.Model : throw new SettingException("model", "it is missing; pass --model FILE.gguf, the model that the adapter belongs to");
        if (!File.Exists(path))
        {
            throw new SettingException("model", Directory.Exists(path) ? $"'{path}' is a folder, not a file" : $"there is no file '{path}'");
        }
        GgufFile head = ModelFile.Read(path);
        try
        {
            // Mapped, not read: llama.cpp's description of a model, which the fingerprint holds, is not whole when only its vocabulary is loaded.
            using LlamaModelHandle model = LlamaModelHandle.Load(path, repackWeights: false);
            string name = options.Name ?? System.IO.Path.GetFileNameWithoutExtension(path);
            return new BaseModel(path, head, ModelLoader.FingerprintOf(name, head.Architecture, model.Description, model.Parameters, model.Bytes));
        }
        catch (LlamaException e)
        {
            throw new EngineException(EngineError.BadFile, e.Message, "model", e);
        }
    }

    /// <summary>The model that a server has loaded. Throws <see cref="EngineException"/> (BadFile) when its file can no longer be read.</summary>
    public static BaseModel Of(ServedModel model)
    {
        string path = model.Engine.Model.Path;
        return new BaseModel(path, ModelFile.Read(path), model.Fingerprint);
    }
}
