using System.Runtime.InteropServices;
using System.Text;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Interop.Trainer;

/// <summary>
/// The trainer's exports of <c>libcontinual_native</c>. Each returns 0, or a status whose message is on this thread. llama.cpp is not needed for
/// them, and is not loaded.
/// </summary>
internal static unsafe partial class TrainerNative
{
    private const int MessageCapacity = 4096;
    private static int _checked;

    [LibraryImport(Firewall.Library)] private static partial int cn_last_error(byte* buffer, int capacity);

    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_model_open(string path, nint* model);
    [LibraryImport(Firewall.Library)] internal static partial void cn_model_free(nint model);
    [LibraryImport(Firewall.Library)] internal static partial int cn_model_describe(TrainableModelHandle model, TrainableModelNative* info);
    [LibraryImport(Firewall.Library)] internal static partial int cn_model_changed(TrainableModelHandle model, int* changed);

    [LibraryImport(Firewall.Library)] internal static partial int cn_model_lend(TrainableModelHandle model, int device, TrainingTensorNative* tensors, int count);
    [LibraryImport(Firewall.Library)] internal static partial int cn_device_count(int* count);
    [LibraryImport(Firewall.Library)] internal static partial int cn_device_describe(int device, TrainingDeviceNative* info);

    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_defaults(TrainerConfigNative* config);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_plan(TrainableModelHandle model, TrainerConfigNative* config, TrainerMemoryNative* memory);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_create(TrainableModelHandle model, TrainerConfigNative* config, nint* trainer);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_plan_on(TrainableModelHandle model, int device, TrainerConfigNative* config, TrainerMemoryNative* memory);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_create_on(TrainableModelHandle model, int device, TrainerConfigNative* config, nint* trainer);
    [LibraryImport(Firewall.Library)] internal static partial void cn_trainer_free(nint trainer);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_set_slice(TrainerHandle trainer, delegate* unmanaged[Cdecl]<nint, int> slice, nint user);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_set_slice_limit(TrainerHandle trainer, double seconds);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_slice_costs(TrainerHandle trainer, SliceCostsNative* costs);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_accumulate(TrainerHandle trainer, TrainingBatchNative* batch, TrainingLossNative* loss);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_update(TrainerHandle trainer, TrainingUpdateNative* update);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_evaluate(TrainerHandle trainer, TrainingBatchNative* batch, TrainingLossNative* loss, float* logProbs);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_set_reference(TrainerHandle trainer);
    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_trainer_save_parameters(TrainerHandle trainer, string path);
    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_trainer_load_parameters(TrainerHandle trainer, string path);
    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_trainer_save_checkpoint(TrainerHandle trainer, string path, byte* data, long size);
    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_trainer_load_checkpoint(TrainerHandle trainer, string path, byte* data, long capacity, long* size);
    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_trainer_export_adapter(TrainerHandle trainer, string path, string? baseModel);
    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_trainer_import_adapter(TrainerHandle trainer, string path);
    [LibraryImport(Firewall.Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int cn_trainer_export_model(TrainerHandle trainer, string path, int type);
    [LibraryImport(Firewall.Library)] internal static partial int cn_trainer_memory(TrainerHandle trainer, TrainerMemoryNative* memory);

    /// <summary>Makes the library findable and checks its interface version, once. Throws <see cref="LlamaLibraryException"/>.</summary>
    internal static void EnsureLoaded()
    {
        if (Volatile.Read(ref _checked) != 0)
        {
            return;
        }
        LlamaLibrary.EnsureResolver();
        int version = FirewallLayout.Version();
        if (version != FirewallLayout.InterfaceVersion)
        {
            throw new LlamaLibraryException($"libcontinual_native has the interface version {version}, and this program needs {FirewallLayout.InterfaceVersion}. Build both from one checkout.");
        }
        Volatile.Write(ref _checked, 1);
    }

    internal static void Check(string operation, int status)
    {
        if (status != 0)
        {
            throw Failure(operation, status);
        }
    }

    /// <summary>The failure of the call just made on this thread, with the library's message.</summary>
    internal static TrainerException Failure(string operation, int status)
    {
        byte[] buffer = new byte[MessageCapacity];
        int length;
        fixed (byte* p = buffer)
        {
            length = cn_last_error(p, buffer.Length);
        }
        string message = Encoding.UTF8.GetString(buffer, 0, Math.Clamp(length, 0, buffer.Length - 1));
        return new TrainerException((TrainerStatus)status, operation, Sentence(message, operation));
    }

    private static string Sentence(string message, string operation) =>
        message.Length == 0 ? $"{operation} failed without a message." : message.EndsWith('.') ? message : message + ".";
}
