namespace ContinualNative.Host.OpenAi;

/// <summary>The OpenAI API.</summary>
internal static class OpenAiEndpoints
{
    public static void MapOpenAi(this IEndpointRouteBuilder routes)
    {
        RouteGroupBuilder v1 = routes.MapGroup("/v1");
        v1.MapPost("/chat/completions", ChatCompletions.HandleAsync);
        v1.MapPost("/completions", TextCompletions.HandleAsync);
        v1.MapPost("/embeddings", Embeddings.HandleAsync);
        v1.MapGet("/models", Models.ListAsync);
        // Names may hold slashes, as those of model hubs do.
        v1.MapGet("/models/{**id}", Models.GetAsync);
    }
}
