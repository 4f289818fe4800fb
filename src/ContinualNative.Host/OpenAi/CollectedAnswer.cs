using System.Text;
using ContinualNative.Engine.Generation;

namespace ContinualNative.Host.OpenAi;

/// <summary>One whole answer.</summary>
internal sealed record CollectedAnswer(string Text, List<TokenInfo> Tokens, GenerationResult Result)
{
    /// <summary>Waits for all answers of a run.</summary>
    public static async Task<CollectedAnswer[]> AllAsync(GenerationRun run) => await Task.WhenAll(run.Answers.Select(a => OneAsync(run, a)));

    private static async Task<CollectedAnswer> OneAsync(GenerationRun run, RunningAnswer answer)
    {
        try
        {
            StringBuilder text = new();
            List<TokenInfo> tokens = [];
            await foreach (GenerationChunk chunk in answer.ReadAllAsync(run.Cancelled))
            {
                text.Append(chunk.Text);
                tokens.AddRange(chunk.Tokens);
            }
            return new CollectedAnswer(text.ToString(), tokens, await run.EndAsync(answer));
        }
        catch
        {
            run.Cancel();
            throw;
        }
    }
}
