using System.Runtime.InteropServices;
using System.Text;

namespace ContinualNative.Interop.Cuda;

/// <summary>What the NVIDIA driver of this machine says.</summary>
/// <param name="Version">The newest CUDA that it supports, such as <c>12.4</c>; empty when it does not say.</param>
/// <param name="Devices">Product names of the GPUs that this process may use.</param>
/// <param name="Error">Why there are none, or null.</param>
public sealed record CudaDriverInfo(string Version, IReadOnlyList<string> Devices, string? Error);

/// <summary>Looks for the CUDA driver, which is opened at run time: no build needs it.</summary>
public static unsafe class CudaDriver
{
    private const int NoDevice = 100;

    /// <summary>null when the machine has no driver.</summary>
    public static CudaDriverInfo? Probe()
    {
        string name = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";
        // The library stays loaded: a driver that has been initialized does not take kindly to being unloaded.
        if (!NativeLibrary.TryLoad(name, out nint library)
            || !NativeLibrary.TryGetExport(library, "cuInit", out nint init)
            || !NativeLibrary.TryGetExport(library, "cuDriverGetVersion", out nint getVersion)
            || !NativeLibrary.TryGetExport(library, "cuDeviceGetCount", out nint getCount)
            || !NativeLibrary.TryGetExport(library, "cuDeviceGet", out nint get)
            || !NativeLibrary.TryGetExport(library, "cuDeviceGetName", out nint getName))
        {
            return null;
        }
        int version;
        string spelled = ((delegate* unmanaged<int*, int>)getVersion)(&version) == 0 ? $"{version / 1000}.{version % 1000 / 10}" : "";
        int status = ((delegate* unmanaged<uint, int>)init)(0);
        int count = 0;
        if (status == 0)
        {
            status = ((delegate* unmanaged<int*, int>)getCount)(&count);
        }
        if (status != 0)
        {
            return new CudaDriverInfo(spelled, [], status == NoDevice ? "it sees no GPU" : $"it can't be initialized (CUDA error {status})");
        }
        List<string> devices = [];
        byte* text = stackalloc byte[256];
        for (int i = 0; i < count; i++)
        {
            int device;
            if (((delegate* unmanaged<int*, int, int>)get)(&device, i) == 0 && ((delegate* unmanaged<byte*, int, int, int>)getName)(text, 256, device) == 0)
            {
                devices.Add(Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text)));
            }
        }
        return new CudaDriverInfo(spelled, devices, devices.Count == 0 ? "it sees no GPU" : null);
    }
}
