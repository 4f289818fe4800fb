using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Trainer;

/// <summary>A GPU that can train.</summary>
/// <param name="Number">Counted from 0, as the driver does.</param>
/// <param name="Name">The driver's name for it.</param>
/// <param name="Memory">In bytes.</param>
/// <param name="FreeMemory">In bytes, when it was asked for; all processes count.</param>
/// <param name="Capability">Compute capability, such as 9.0.</param>
/// <param name="Multiprocessors">Of them.</param>
/// <param name="Products">The library that makes matrix products there, such as <c>libcublasLt.so.13</c>; empty: the trainer's own kernels, which are slower.</param>
public sealed record TrainingDevice(int Number, string Name, long Memory, long FreeMemory, Version Capability, int Multiprocessors, string Products)
{
    /// <summary>GPUs that the driver shows; 0 without a driver.</summary>
    public static unsafe int Count()
    {
        TrainerNative.EnsureLoaded();
        int count;
        TrainerNative.Check("cn_device_count", TrainerNative.cn_device_count(&count));
        return count;
    }

    /// <summary>One of them. Throws <see cref="TrainerException"/> (Device) for one that is not there or can't train, with the reason.</summary>
    public static unsafe TrainingDevice Of(int number)
    {
        TrainerNative.EnsureLoaded();
        TrainingDeviceNative info;
        TrainerNative.Check("cn_device_describe", TrainerNative.cn_device_describe(number, &info));
        return new TrainingDevice(
            number,
            Marshal.PtrToStringUTF8((nint)info.Name) ?? "",
            info.Memory,
            info.FreeMemory,
            new Version(info.Major, info.Minor),
            info.Multiprocessors,
            Marshal.PtrToStringUTF8((nint)info.Products) ?? "");
    }
}
