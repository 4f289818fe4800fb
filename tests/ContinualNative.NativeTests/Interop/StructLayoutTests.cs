using System.Reflection;
using System.Runtime.InteropServices;
using ContinualNative.Interop.Llama;
using ContinualNative.Interop.Trainer;

namespace ContinualNative.NativeTests.Interop;

public sealed class StructLayoutTests
{
    // By index, because the types are internal to Interop and a theory's arguments are public.
    private static readonly (FirewallLayout.Structure Structure, Type Mirror)[] Mirrors =
    [
        (FirewallLayout.Structure.Batch, typeof(LlamaBatchNative)),
        (FirewallLayout.Structure.ModelParams, typeof(LlamaModelParams)),
        (FirewallLayout.Structure.ContextParams, typeof(LlamaContextParams)),
        (FirewallLayout.Structure.QuantizeParams, typeof(LlamaQuantizeParams)),
        (FirewallLayout.Structure.TokenData, typeof(LlamaTokenData)),
        (FirewallLayout.Structure.TokenDataArray, typeof(LlamaTokenDataArray)),
        (FirewallLayout.Structure.ModelInfo, typeof(TrainableModelNative)),
        (FirewallLayout.Structure.Memory, typeof(TrainerMemoryNative)),
        (FirewallLayout.Structure.TrainerConfig, typeof(TrainerConfigNative)),
        (FirewallLayout.Structure.BatchTrain, typeof(TrainingBatchNative)),
        (FirewallLayout.Structure.Loss, typeof(TrainingLossNative)),
        (FirewallLayout.Structure.Update, typeof(TrainingUpdateNative)),
        (FirewallLayout.Structure.DeviceInfo, typeof(TrainingDeviceNative)),
        (FirewallLayout.Structure.Tensor, typeof(TrainingTensorNative)),
        (FirewallLayout.Structure.SliceCosts, typeof(SliceCostsNative)),
    ];

    public static TheoryData<int> Indexes => [.. Enumerable.Range(0, Mirrors.Length)];

    [Theory]
    [MemberData(nameof(Indexes))]
    public void Managed_mirror_has_the_layout_of_the_native_one(int index)
    {
        (FirewallLayout.Structure structure, Type mirror) = Mirrors[index];
        (int size, IReadOnlyList<FirewallLayout.Field> native) = FirewallLayout.Of(structure);
        FieldInfo[] managed = [.. mirror
            .GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
            .OrderBy(field => field.MetadataToken)];

        Assert.Equal(size, Marshal.SizeOf(mirror));
        Assert.Equal(
            native.Select((field, i) => $"{i}: offset {field.Offset}, size {field.Size}"),
            managed.Select((field, i) => $"{i}: offset {Marshal.OffsetOf(mirror, field.Name)}, size {SizeOf(field.FieldType)}"));
    }

    [Fact]
    public void Every_native_structure_has_a_mirror() =>
        Assert.Equal(Enum.GetValues<FirewallLayout.Structure>(), Mirrors.Select(m => m.Structure));

    [Fact]
    public void Interface_version_is_the_one_the_bindings_are_written_for() =>
        Assert.Equal(FirewallLayout.InterfaceVersion, FirewallLayout.LoadedVersion());

    private static int SizeOf(Type type) => type.IsPointer || type == typeof(nint) || type == typeof(nuint) ? nint.Size : Marshal.SizeOf(type);
}
