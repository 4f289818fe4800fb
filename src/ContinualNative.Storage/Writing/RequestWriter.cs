using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Inserts requests.</summary>
internal static class RequestWriter
{
    public const int StageNone = 0;
    public const int StageOpen = 1;
    public const int StageLabelled = 2;

    public static void Insert(WriterSession session, RequestRecord request)
    {
        byte[] id = RequestId.ToBytes(request.Id);
        RouteDecision decision = request.Decision;
        long at = request.At.ToUnixTimeMilliseconds();
        long task = session.RequestedTask(request.Task);
        long adapter = session.Name(request.Adapter);
        long local = Microseconds(request.LocalTime);
        Statement insert = session.Prepared("""
            INSERT INTO requests (seq, id, at, kind, streamed, task, model, adapter, key, user, route, reason, p_correct, threshold, calibration, audited,
                audit_probability, features, finish, prompt_tokens, cached_tokens, completion_tokens, local_time, total_time, stage)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)
            ON CONFLICT (id) DO NOTHING
            """);
        long sequence = session.NextSequence();
        insert.Bind(1, sequence).Bind(2, id).Bind(3, at).Bind(4, (long)request.Kind).Bind(5, request.Streamed)
            .Bind(6, task).Bind(7, session.Name(request.Model)).Bind(8, adapter)
            .Bind(9, request.KeyId is { } key ? session.Key(key) : null)
            .Bind(10, request.User is { } user ? session.User(user) : null)
            .Bind(11, (long)decision.Route).Bind(12, (long)decision.Reason).Bind(13, decision.PCorrect).Bind(14, decision.Threshold)
            .Bind(15, decision.Calibration).Bind(16, decision.Audited).Bind(17, decision.AuditProbability);
        if (decision.Features is { } features)
        {
            Span<byte> bytes = stackalloc byte[FeaturesCodec.Bytes];
            FeaturesCodec.Write(bytes, features);
            insert.Bind(18, bytes);
        }
        else
        {
            insert.BindNull(18);
        }
        bool open = request.Prompt is not null && request.LocalAnswer is not null;
        int inserted = insert.Bind(19, session.Name(request.FinishReason))
            .Bind(20, request.PromptTokens).Bind(21, request.CachedTokens).Bind(22, request.CompletionTokens)
            .Bind(23, local).Bind(24, Microseconds(request.TotalTime)).Bind(25, open ? StageOpen : StageNone)
            .Run();
        if (inserted == 0)
        {
            session.CountIgnored();
            return;
        }
        if (request.Prompt is not null || request.LocalAnswer is not null || !request.Embedding.IsEmpty)
        {
            session.Prepared("INSERT INTO texts VALUES (?1, ?2, ?3, ?4)")
                .Bind(1, sequence)
                .Bind(2, session.Texts.Encode(request.Prompt, id, TextColumn.Prompt))
                .Bind(3, session.Texts.Encode(request.LocalAnswer, id, TextColumn.LocalAnswer))
                .Bind(4, request.Embedding.IsEmpty ? null : session.Texts.Encode(EmbeddingCodec.Encode(request.Embedding.Span), id, TextColumn.Embedding, compress: false))
                .Run();
        }
        TrafficTally tally = session.Traffic(at, task, adapter, decision.Route, decision.Reason);
        tally.Requests++;
        tally.PromptTokens += request.PromptTokens;
        tally.CachedTokens += request.CachedTokens;
        tally.CompletionTokens += request.CompletionTokens;
        tally.LocalTime += local;
        session.CountRequest();
    }

    public static long Microseconds(TimeSpan time) => time.Ticks / TimeSpan.TicksPerMicrosecond;
}
