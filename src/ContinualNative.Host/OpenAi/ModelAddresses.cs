using ContinualNative.Core.Adapters;
using ContinualNative.Engine;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>Names of models in requests.</summary>
internal static class ModelAddresses
{
    /// <summary>What a request's <c>model</c> means; throws 404 for a name that is not served.</summary>
    public static ModelAddress Resolve(InferenceEngine engine, string? model)
    {
        ModelAddress address = ModelAddress.Parse(model);
        bool known = address.Model.Length == 0 || address.Model == engine.Model.Name;
        if (known && address.Adapter is { } adapter && adapter != ModelAddress.Base)
        {
            known = engine.Adapters.Contains(adapter);
        }
        return known ? address : throw ApiException.ModelNotFound(JsonIn.Short(model!));
    }
}
