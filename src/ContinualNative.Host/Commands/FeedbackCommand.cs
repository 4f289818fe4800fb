using System.CommandLine;
using System.Diagnostics;
using ContinualNative.Core;
using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual feedback import FILE.jsonl</c>: reports of outcomes in bulk.</summary>
internal static class FeedbackCommand
{
    private const string Import = "feedback import";

    /// <summary>The key that imported reports are stored under. It can't be a client's: those are hexadecimal.</summary>
    // Decision: a name of its own, so that an import counts against nobody's cap, and so that all of it can be erased.
    private const string ImportKey = "import";

    // Enough to fill the store's transactions, far from filling its queue.
    private const int Window = 512;
    private const int ShownLines = 5;

    public static Command Create() => new("feedback", "Report what became of answers.") { CreateImport() };

    private static Command CreateImport()
    {
        Argument<string> file = new("FILE") { Description = "JSONL; each line is a body of POST /v1/feedback: {\"request_id\", \"outcome\", \"correction\", \"score\", \"source\"}. '-': standard input." };
        Command command = new("import", "Import reports of outcomes. The whole file is checked before the first one is stored; importing a file again adds nothing.") { file };
        return StoreAccess.On(
            command,
            Import,
            ["policy", "no-redaction"],
            (call, cancel) => RunAsync(call, call.Parsed.GetValue(file)!, cancel),
            // Whoever may write to the store's file floods nobody.
            static options => options with { OutcomesPerKeyAndHour = int.MaxValue });
    }

    private static async Task<int> RunAsync(StoreCall call, string file, CancellationToken cancellationToken)
    {
        Func<string, string?> redact = RedactionOf(call.Options);
        FeedbackFile reports = await FeedbackFile.OpenAsync(file, cancellationToken);
        int total = await CheckAsync(reports, redact, cancellationToken);
        Stopwatch watch = Stopwatch.StartNew();
        Tally tally = new();
        string? failure = await ConsoleProgress.RunAsync("importing", "reports", total, progress => ImportAsync(call.Store, reports, redact, tally, progress, cancellationToken));
        double seconds = watch.Elapsed.TotalSeconds;
        if (call.Json)
        {
            CommandRun.WriteJson(json =>
            {
                json.WriteString("file", reports.Name);
                json.WriteNumber("reports", total);
                foreach (OutcomeVerdict verdict in Enum.GetValues<OutcomeVerdict>())
                {
                    json.WriteNumber(FeedbackEndpoints.NameOf(verdict), tally.Of(verdict));
                }
                json.WriteBoolean("complete", failure is null);
                json.WriteNumber("seconds", Math.Round(seconds, 3));
            });
        }
        else
        {
            foreach (OutcomeVerdict verdict in Enum.GetValues<OutcomeVerdict>())
            {
                if (tally.Of(verdict) > 0 || verdict == OutcomeVerdict.Stored)
                {
                    Console.Out.WriteLine($"{FeedbackEndpoints.NameOf(verdict),-16} {tally.Of(verdict)}");
                }
            }
        }
        foreach ((int line, OutcomeVerdict verdict) in tally.NotStored)
        {
            Console.Error.WriteLine($"line {line}: {WhyNot(verdict)}");
        }
        if (tally.Refused > tally.NotStored.Count)
        {
            Console.Error.WriteLine($"... and {tally.Refused - tally.NotStored.Count} more that are not stored.");
        }
        if (failure is not null)
        {
            return CommandRun.Fail(Import, $"{failure} {tally.Done} of {total} reports are done. Import the file again: what is stored is not stored twice.", ExitCodes.Failed);
        }
        return tally.Refused > 0 ? ExitCodes.Failed : ExitCodes.Ok;
    }

    // How corrections are kept: redacted, as they are, or not at all where the server keeps no texts.
    private static Func<string, string?> RedactionOf(ServeOptions options)
    {
        if (options.Record != RecordMode.Full)
        {
            return static _ => null;
        }
        PolicyFile policy = options.Policy is { } path ? PolicyFile.Read(path) : PolicyFile.Empty;
        if (options.NoRedaction || !policy.Redaction.ForStorage)
        {
            return static text => text;
        }
        try
        {
            Redactor redactor = new(policy.Redaction, policy.Rules);
            return text => redactor.NewSession().Redact(text);
        }
        catch (PolicyOptionException e)
        {
            throw new SettingException(e.Key, e.Message.TrimEnd('.'), options.Policy);
        }
    }

    private static async Task<int> CheckAsync(FeedbackFile reports, Func<string, string?> redact, CancellationToken cancellationToken)
    {
        int total = 0;
        await foreach ((int line, FeedbackFields fields) in reports.ReadAsync(cancellationToken))
        {
            Redacted(reports, line, fields, redact);
            total++;
        }
        return total > 0 ? total : throw new ExampleFormatException(reports.Name, 0, "it holds no reports; each line must be {\"request_id\": ..., \"outcome\": ...}");
    }

    private static string? Redacted(FeedbackFile reports, int line, FeedbackFields fields, Func<string, string?> redact)
    {
        try
        {
            return fields.Correction is { } text ? redact(text) : null;
        }
        catch (RedactionException e)
        {
            throw new ExampleFormatException(reports.Name, line, $"field 'correction': {e.Message.TrimEnd('.')}", e);
        }
    }

    // Gives why it ended early, or null.
    private static async Task<string?> ImportAsync(TrafficStore store, FeedbackFile reports, Func<string, string?> redact, Tally tally, IProgress<double> progress, CancellationToken cancellationToken)
    {
        Queue<(int Line, Task<OutcomeVerdict> Stored)> running = new();
        string? failure = null;
        try
        {
            await foreach ((int line, FeedbackFields fields) in reports.ReadAsync(cancellationToken))
            {
                running.Enqueue((line, store.AddOutcomeAsync(
                    new Outcome
                    {
                        RequestId = fields.RequestId,
                        Kind = fields.Kind,
                        Correction = Redacted(reports, line, fields, redact),
                        Score = fields.Score,
                        Source = fields.Source,
                        At = DateTimeOffset.UtcNow,
                        KeyId = ImportKey,
                    },
                    CancellationToken.None)));
                if (running.Count >= Window)
                {
                    await FinishOneAsync();
                }
            }
        }
        catch (OperationCanceledException)
        {
            failure = "Interrupted.";
        }
        catch (Exception e) when (e is StoreException or ExampleFormatException)
        {
            failure = e.Message;
        }
        while (running.Count > 0)
        {
            try
            {
                await FinishOneAsync();
            }
            catch (StoreException e)
            {
                failure ??= e.Message;
            }
        }
        return failure;

        async Task FinishOneAsync()
        {
            (int line, Task<OutcomeVerdict> stored) = running.Dequeue();
            tally.Add(line, await stored);
            progress.Report(tally.Done);
        }
    }

    private static string WhyNot(OutcomeVerdict verdict) => verdict switch
    {
        OutcomeVerdict.UnknownRequest => "there is no such request.",
        OutcomeVerdict.ErasedRequest => "the data of that request were erased or have expired.",
        OutcomeVerdict.Capped => "there are as many reports of that request as are kept.",
        _ => FeedbackEndpoints.NameOf(verdict),
    };

    private sealed class Tally
    {
        private readonly int[] _counts = new int[Enum.GetValues<OutcomeVerdict>().Length];

        public int Done => _counts.Sum();

        /// <summary>Reports that could not be stored, whatever is done.</summary>
        public int Refused => Of(OutcomeVerdict.UnknownRequest) + Of(OutcomeVerdict.ErasedRequest) + Of(OutcomeVerdict.Capped);

        /// <summary>The first of them.</summary>
        public List<(int Line, OutcomeVerdict Verdict)> NotStored { get; } = [];

        public int Of(OutcomeVerdict verdict) => _counts[(int)verdict];

        public void Add(int line, OutcomeVerdict verdict)
        {
            _counts[(int)verdict]++;
            if (verdict is OutcomeVerdict.UnknownRequest or OutcomeVerdict.ErasedRequest or OutcomeVerdict.Capped && NotStored.Count < ShownLines)
            {
                NotStored.Add((line, verdict));
            }
        }
    }
}
