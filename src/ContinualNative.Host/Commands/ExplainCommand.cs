using System.CommandLine;
using ContinualNative.Host.Reporting;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual explain REQUEST_ID</c>: why a request took its route, and what became of it.</summary>
internal static class ExplainCommand
{
    private const string Name = "explain";

    public static Command Create()
    {
        Argument<string> id = new("REQUEST_ID") { Description = "The id in the header x-continual-request-id of its answer." };
        Option<bool> texts = new("--texts") { Description = "Show the request and its answers too." };
        Command command = new(Name, "Why a request was answered locally or by a frontier model, by which figures, and what became of it.") { id, texts };
        return StoreAccess.On(command, Name, ["machine-price"], (call, _) =>
        {
            string request = call.Parsed.GetValue(id)!;
            if (!FeedbackFields.IsRequestId(request))
            {
                throw new SettingException("REQUEST_ID", "it has 24 hexadecimal digits, as in the header x-continual-request-id", "REQUEST_ID");
            }
            call.Options.ValidateAmounts();
            if (RequestExplanation.Find(call.Store, request.ToLowerInvariant(), call.Options.MachinePrice) is not { } explanation)
            {
                throw new SettingException("REQUEST_ID", $"no request '{request}' is stored; a server that runs stores it within a moment of its answer", "REQUEST_ID");
            }
            bool shown = call.Parsed.GetValue(texts);
            if (call.Json)
            {
                CommandRun.WriteJson(json => explanation.Write(json, shown));
                return Task.FromResult(ExitCodes.Ok);
            }
            foreach (string sentence in explanation.Sentences())
            {
                Console.Out.WriteLine(CommandRun.Printable(sentence));
            }
            if (shown)
            {
                foreach ((string name, string text) in explanation.Texts())
                {
                    Console.Out.WriteLine();
                    Console.Out.WriteLine($"{CommandRun.Printable(name)}:");
                    Console.Out.WriteLine(CommandRun.Printable(text));
                }
            }
            return Task.FromResult(ExitCodes.Ok);
        });
    }
}
