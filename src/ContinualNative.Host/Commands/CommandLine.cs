using System.CommandLine;

namespace ContinualNative.Host.Commands;

/// <summary>The command line of <c>continual</c>.</summary>
internal static class CommandLine
{
    private static readonly Func<Command>[] Commands =
    [
        DemoCommand.Create,
        ServeCommand.Create,
        ChatCommand.Create,
        TrainCommand.Create,
        PretrainCommand.Create,
        EvalCommand.Create,
        CycleCommand.Create,
        AdaptersCommand.Create,
        InspectCommand.Create,
        ReportCommand.Create,
        ExplainCommand.Create,
        FeedbackCommand.Create,
        StoreCommand.Create,
        KeysCommand.Create,
        DoctorCommand.Create,
        BenchCommand.Create,
        FrontierCommand.Create,
    ];

    /// <summary>The root command with everything under it.</summary>
    public static RootCommand Root()
    {
        RootCommand root = new("One server that runs a quantized GGUF model with the OpenAI API.");
        foreach (Func<Command> create in Commands)
        {
            root.Subcommands.Add(create());
        }
        return root;
    }

    /// <summary>Runs a command; gives the process's exit code.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        ParseResult parsed = Root().Parse(args);
        // These handle signals themselves: the server drains at the first, a chat stops its answer.
        InvocationConfiguration configuration = new();
        if (parsed.CommandResult.Command.Name is "serve" or "chat")
        {
            configuration.ProcessTerminationTimeout = null;
        }
        else if (parsed.CommandResult.Command.Name is "train" or "pretrain")
        {
            // It stops within a part of a layer, then writes a checkpoint: on a slow disk that may take longer than the usual two seconds.
            configuration.ProcessTerminationTimeout = TimeSpan.FromMinutes(5);
        }
        else if (parsed.CommandResult.Command.Name is "import" or "export" or "promote" or "rollback" or "backup" or "expire" or "erase")
        {
            // What is on its way into the store gets there, and a half-made copy is removed.
            configuration.ProcessTerminationTimeout = TimeSpan.FromSeconds(30);
        }
        int exit = await parsed.InvokeAsync(configuration);
        return parsed.Errors.Count > 0 ? ExitCodes.BadInput : exit;
    }
}
