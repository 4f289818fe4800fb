using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.OpenAi;
using ContinualNative.Storage;

namespace ContinualNative.Host.Signal;

/// <summary>Turns a frontier's answer into a stored label: how far the local answer agrees with it, by the task's measure.</summary>
internal sealed class LabelRecorder(SignalHub hub)
{
    /// <summary>Stores a label. Tasks that are judged by a prompt ask the frontier once more, off the request's path; their label is stored afterwards.</summary>
    /// <param name="requestId">The request.</param>
    /// <param name="task">Its task.</param>
    /// <param name="request">The request, for judges; null: none.</param>
    /// <param name="question">What it asks last, in the same form; null: nothing.</param>
    /// <param name="local">The local answer as it is stored; null: none.</param>
    /// <param name="teacher">The frontier's, in the same form.</param>
    /// <param name="answer">Its figures.</param>
    /// <param name="reason">Why it was asked.</param>
    public async Task RecordAsync(string requestId, TaskDefinition task, ChatRequest? request, string? question, string? local, string teacher, FrontierAnswer answer, LabelReason reason)
    {
        TeacherLabel label = new()
        {
            RequestId = requestId,
            At = hub.Time.GetUtcNow(),
            Endpoint = answer.Endpoint,
            Teacher = answer.Model,
            Reason = reason,
            Answer = hub.KeepsTexts ? teacher : null,
            Measure = Agreement.NameOf(task.Measure),
            LogProbs = answer.LogProbs,
            PromptTokens = answer.PromptTokens,
            CachedTokens = answer.CachedTokens,
            CompletionTokens = answer.CompletionTokens,
            Cost = answer.Cost,
            Latency = answer.Latency,
            TrainingAllowed = answer.TrainingAllowed,
        };
        hub.TeacherAnswered(answer.Endpoint, answer.Model);
        double? agreement = null;
        if (local is not null)
        {
            // Tool calls are compared as what they are, whatever measure their task has for texts.
            agreement = Agreement.ToolCallScore(local, teacher);
            if (agreement is null && task.Measure == AgreementMeasure.Judge)
            {
                hub.Track(() => JudgeAsync(label, task, request, question, local, teacher));
                return;
            }
            agreement ??= Agreement.Score(task.Measure, local, teacher, static t => PromptEmbedder.Embed(t));
        }
        await StoreAsync(label, task, question, agreement);
    }

    private async Task JudgeAsync(TeacherLabel label, TaskDefinition task, ChatRequest? request, string? question, string local, string teacher)
    {
        double? verdict = null;
        try
        {
            string asked = request?.Question ?? "";
            FrontierAnswer judged = await hub.Frontier.CompleteAsync(
                new FrontierRequest { Messages = JudgePrompt.Build(task.JudgePrompt, asked, teacher, local), Temperature = 0, MaxTokens = 256, Reference = label.RequestId },
                FrontierPurpose.Teaching,
                CancellationToken.None);
            verdict = JudgePrompt.Parse(judged.Text);
            hub.Metrics.Judged(verdict is not null);
            await hub.BookAsync(FrontierPurpose.Teaching, judged, label.RequestId, task.Name);
        }
        catch (FrontierException e)
        {
            // The answer itself is paid for and kept; only whether the local one agrees stays unknown.
            hub.Metrics.FrontierFailed(e.Kind);
        }
        await StoreAsync(label, task, question, verdict);
    }

    private async Task StoreAsync(TeacherLabel label, TaskDefinition task, string? question, double? agreement)
    {
        hub.Metrics.Labelled(task.Name, label.Reason, agreement is { } a ? task.Passes(a) : null);
        if (hub.Store is not { } store)
        {
            return;
        }
        try
        {
            await store.RecordAsync(label with { Agreement = agreement, Correct = agreement is { } score ? task.Passes(score) : null });
        }
        catch (StoreException)
        {
            // Counted by the store.
            return;
        }
        if (question is not null && agreement is { } judged)
        {
            hub.CountLabel(label.RequestId, question, task.Passes(judged));
        }
        hub.LabelStored(task.Name);
    }
}
