using System.CommandLine;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using Spectre.Console;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual inspect FILE</c>: what is in a GGUF model or adapter, without loading it.</summary>
public static class InspectCommand
{
    private const int ShownElements = 5;
    private const int ShownCharacters = 96;

    /// <summary>The command. It exits with 0, 1 when writing fails, or 2 when the file can't be read as GGUF.</summary>
    public static Command Create()
    {
        Argument<string> file = new("FILE") { Description = "A GGUF model or adapter." };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Option<bool> tensors = new("--tensors") { Description = "List every tensor." };
        Option<bool> template = new("--template") { Description = "Print the chat template." };
        Command command = new("inspect", "Show what is in a GGUF model or adapter, without loading it.") { file, json, tensors, template };
        command.SetAction(result => Run(
            result.GetValue(file)!,
            result.GetValue(json),
            result.GetValue(tensors),
            result.GetValue(template),
            result.InvocationConfiguration.Output,
            result.InvocationConfiguration.Error));
        return command;
    }

    private static int Run(string path, bool json, bool tensors, bool template, TextWriter output, TextWriter error)
    {
        GgufSummary summary;
        try
        {
            summary = new GgufSummary(GgufFile.Read(path));
        }
        catch (EngineException e)
        {
            error.WriteLine($"error: {OneLine(e.Message)}");
            return 2;
        }
        try
        {
            if (json)
            {
                output.WriteLine(Json(summary, tensors, template));
            }
            else
            {
                Print(summary, tensors, template, output);
            }
            output.Flush();
        }
        catch (IOException e)
        {
            error.WriteLine($"error: can't write the output: {OneLine(e.Message)}");
            return 1;
        }
        if (summary.Problem is not null)
        {
            error.WriteLine($"warning: the engine would refuse this file: {OneLine(summary.Problem)}");
        }
        return 0;
    }

    private static void Print(GgufSummary summary, bool tensors, bool template, TextWriter output)
    {
        bool terminal = ReferenceEquals(output, Console.Out) && !Console.IsOutputRedirected;
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = terminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = terminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Out = new AnsiConsoleOutput(output),
        });
        if (!terminal)
        {
            // Lines are for other programs there: none is broken.
            console.Profile.Width = 4096;
        }
        PrintOverview(summary, console, terminal);
        PrintTypes(summary, console, terminal);
        PrintMetadata(summary, console, terminal);
        if (tensors)
        {
            PrintTensors(summary, console, terminal);
        }
        if (template)
        {
            output.WriteLine();
            output.WriteLine(summary.Template is null ? "(no chat template)" : Printable(summary.Template, keepLines: true));
        }
    }

    private static void PrintOverview(GgufSummary summary, IAnsiConsole console, bool terminal)
    {
        GgufFile file = summary.File;
        Table table = Framed(terminal, "", "");
        table.HideHeaders();
        Row("file", file.Name);
        Row("kind", summary.Kind);
        Row("name", summary.Name);
        Row("architecture", summary.Architecture);
        Row("parameters", Count(file.Parameters));
        Row("size", $"{Size(file.Length)} ({file.Length} bytes), weights {Size(file.TensorBytes)}{Bits(file)}");
        Row("quantization", summary.Quantization);
        foreach ((_, string title, long value) in summary.Dimensions)
        {
            Row(title, value.ToString());
        }
        if (summary.Vocabulary is not null)
        {
            Row("vocabulary", $"{summary.Vocabulary.Count} tokens ({string.Join(", ", ((string?[])[summary.Text("tokenizer.ggml.model"), summary.Text("tokenizer.ggml.pre")]).OfType<string>())})");
        }
        foreach ((_, string title, long id, string? text) in summary.SpecialTokens)
        {
            Row($"token: {title}", text is null ? $"{id}" : $"{id} {text}");
        }
        if (summary.Kind == "adapter")
        {
            if (summary.Adapter is { } adapter)
            {
                Row("rank", adapter.Rank.ToString());
                Row("alpha", $"{adapter.Alpha} (scale {adapter.Scale})");
                Row("changes", $"{adapter.TensorNames.Count} tensors: {string.Join(", ", Targets(adapter))}");
            }
        }
        else
        {
            Row("chat template", summary.Template is null ? "none" : $"{summary.Template.Length} characters, {(summary.TemplateHasTools ? "with" : "without")} tools");
            Row("more templates", summary.OtherTemplates.Count == 0 ? null : string.Join(", ", summary.OtherTemplates));
        }
        Row("format", $"GGUF {file.Version}, {file.Tensors.Count} tensors, {file.Metadata.Count} metadata entries, alignment {file.Alignment}");
        console.Write(table);

        void Row(string title, string? value)
        {
            if (value is not null)
            {
                table.AddRow(Cell(title), Cell(value));
            }
        }
    }

    private static void PrintTypes(GgufSummary summary, IAnsiConsole console, bool terminal)
    {
        if (summary.Types.Count == 0)
        {
            return;
        }
        Table table = Framed(terminal, "type", "tensors", "parameters", "size", "share");
        foreach (GgufSummary.TypeShare share in summary.Types)
        {
            table.AddRow(
                Cell(share.Type),
                Cell(share.Tensors.ToString()),
                Cell(Count(share.Parameters)),
                Cell(Size(share.Bytes)),
                Cell($"{100.0 * share.Bytes / summary.File.TensorBytes:0.0} %"));
        }
        Section(console, terminal, "Types");
        console.Write(table);
    }

    private static void PrintMetadata(GgufSummary summary, IAnsiConsole console, bool terminal)
    {
        if (summary.File.Metadata.Count == 0)
        {
            return;
        }
        Table table = Framed(terminal, "key", "type", "value");
        foreach ((string key, GgufValue value) in summary.File.Metadata)
        {
            table.AddRow(Cell(key), Cell(value.TypeName), Cell(Shorten(Show(value.Value))));
        }
        Section(console, terminal, "Metadata");
        console.Write(table);
    }

    private static void PrintTensors(GgufSummary summary, IAnsiConsole console, bool terminal)
    {
        Table table = Framed(terminal, "tensor", "type", "shape", "offset", "bytes");
        foreach (GgufTensor tensor in summary.File.Tensors)
        {
            table.AddRow(
                Cell(tensor.Name),
                Cell(tensor.Type.Name()),
                Cell(tensor.ShapeText),
                Cell((summary.File.DataOffset + tensor.Offset).ToString()),
                Cell(tensor.Bytes.ToString()));
        }
        Section(console, terminal, "Tensors");
        console.Write(table);
    }

    private static Table Framed(bool terminal, params string[] columns)
    {
        Table table = new() { Border = terminal ? TableBorder.Rounded : TableBorder.None };
        foreach (string column in columns)
        {
            table.AddColumn(new TableColumn(new Text(column)) { NoWrap = !terminal });
        }
        return table;
    }

    private static void Section(IAnsiConsole console, bool terminal, string title)
    {
        console.WriteLine();
        if (terminal)
        {
            console.Write(new Rule(Markup.Escape(title)) { Justification = Justify.Left });
        }
    }

    private static Text Cell(string text) => new(Printable(text, keepLines: false));

    private static string Json(GgufSummary summary, bool tensors, bool template)
    {
        GgufFile file = summary.File;
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("file", file.Name);
            json.WriteString("kind", summary.Kind);
            json.WriteString("name", summary.Name);
            json.WriteString("architecture", summary.Architecture);
            json.WriteNumber("parameters", file.Parameters);
            json.WriteNumber("bytes", file.Length);
            json.WriteNumber("tensor_bytes", file.TensorBytes);
            json.WriteString("quantization", summary.Quantization);
            json.WriteStartArray("types");
            foreach (GgufSummary.TypeShare share in summary.Types)
            {
                json.WriteStartObject();
                json.WriteString("type", share.Type);
                json.WriteNumber("tensors", share.Tensors);
                json.WriteNumber("parameters", share.Parameters);
                json.WriteNumber("bytes", share.Bytes);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            foreach ((string key, _, long value) in summary.Dimensions)
            {
                json.WriteNumber(key, value);
            }
            WriteVocabulary(json, summary);
            WriteTemplate(json, summary, template);
            WriteAdapter(json, summary.Adapter);
            json.WriteNumber("gguf_version", file.Version);
            json.WriteNumber("alignment", file.Alignment);
            json.WriteNumber("data_offset", file.DataOffset);
            json.WriteNumber("tensor_count", file.Tensors.Count);
            json.WriteString("problem", summary.Problem);
            json.WriteStartObject("metadata");
            foreach ((string key, GgufValue value) in file.Metadata)
            {
                json.WritePropertyName(key);
                WriteValue(json, value.Value);
            }
            json.WriteEndObject();
            if (tensors)
            {
                WriteTensors(json, file);
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.GetBuffer().AsSpan(0, (int)stream.Length));
    }

    private static void WriteVocabulary(Utf8JsonWriter json, GgufSummary summary)
    {
        if (summary.Vocabulary is null)
        {
            return;
        }
        json.WriteStartObject("vocabulary");
        json.WriteNumber("size", summary.Vocabulary.Count);
        json.WriteString("model", summary.Text("tokenizer.ggml.model"));
        json.WriteString("pre", summary.Text("tokenizer.ggml.pre"));
        json.WriteStartObject("special_tokens");
        foreach ((string role, _, long id, string? text) in summary.SpecialTokens)
        {
            json.WriteStartObject(role);
            json.WriteNumber("id", id);
            json.WriteString("text", text);
            json.WriteEndObject();
        }
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteTemplate(Utf8JsonWriter json, GgufSummary summary, bool source)
    {
        json.WriteStartObject("chat_template");
        json.WriteBoolean("present", summary.Template is not null);
        json.WriteBoolean("tools", summary.TemplateHasTools);
        json.WriteStartArray("others");
        foreach (string name in summary.OtherTemplates)
        {
            json.WriteStringValue(name);
        }
        json.WriteEndArray();
        if (source)
        {
            json.WriteString("source", summary.Template);
        }
        json.WriteEndObject();
    }

    private static void WriteAdapter(Utf8JsonWriter json, AdapterFile? adapter)
    {
        if (adapter is null)
        {
            return;
        }
        json.WriteStartObject("adapter");
        json.WriteNumber("rank", adapter.Rank);
        json.WriteNumber("alpha", adapter.Alpha);
        json.WriteNumber("scale", adapter.Scale);
        json.WriteStartArray("targets");
        foreach (string target in Targets(adapter))
        {
            json.WriteStringValue(target);
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteTensors(Utf8JsonWriter json, GgufFile file)
    {
        json.WriteStartArray("tensors");
        foreach (GgufTensor tensor in file.Tensors)
        {
            json.WriteStartObject();
            json.WriteString("name", tensor.Name);
            json.WriteString("type", tensor.Type.Name());
            json.WriteStartArray("shape");
            foreach (long dimension in tensor.Shape)
            {
                json.WriteNumberValue(dimension);
            }
            json.WriteEndArray();
            json.WriteNumber("offset", file.DataOffset + tensor.Offset);
            json.WriteNumber("bytes", tensor.Bytes);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <summary>Arrays become an object with their first elements: a vocabulary would drown everything else.</summary>
    private static void WriteValue(Utf8JsonWriter json, object value)
    {
        switch (value)
        {
            case GgufArray array:
                json.WriteStartObject();
                json.WriteString("type", array.ElementType.ToString().ToLowerInvariant());
                json.WriteNumber("count", array.Count);
                json.WriteStartArray("first");
                for (int i = 0; i < Math.Min(array.Count, ShownElements); i++)
                {
                    WriteValue(json, array[i]);
                }
                json.WriteEndArray();
                json.WriteEndObject();
                break;
            case string text:
                json.WriteStringValue(text);
                break;
            case bool flag:
                json.WriteBooleanValue(flag);
                break;
            case float number when float.IsFinite(number):
                json.WriteNumberValue(number);
                break;
            case double number when double.IsFinite(number):
                json.WriteNumberValue(number);
                break;
            case float or double:
                json.WriteStringValue(value.ToString());
                break;
            case ulong number:
                json.WriteNumberValue(number);
                break;
            default:
                json.WriteNumberValue(Convert.ToInt64(value));
                break;
        }
    }

    private static string Show(object value)
    {
        if (value is not GgufArray array)
        {
            return value.ToString() ?? "";
        }
        IEnumerable<string> first = Enumerable.Range(0, Math.Min(array.Count, ShownElements)).Select(i => Shorten(Show(array[i])));
        return $"{array.Count}: {string.Join(", ", first)}{(array.Count > ShownElements ? ", …" : "")}";
    }

    private static string[] Targets(AdapterFile adapter) =>
        [.. adapter.TensorNames.Select(static name =>
        {
            string[] parts = name.Split('.');
            return parts is ["blk", _, .., "weight"] ? string.Join('.', parts[2..^1]) : name;
        }).Distinct()];

    private static string Bits(GgufFile file) => file.Parameters == 0 ? "" : $" ({8.0 * file.TensorBytes / file.Parameters:0.00} bits a parameter)";

    private static string Count(long number) => number switch
    {
        >= 1_000_000_000 => $"{number / 1e9:0.00} billion ({number})",
        >= 1_000_000 => $"{number / 1e6:0.00} million ({number})",
        _ => number.ToString(),
    };

    private static string Size(long bytes) => bytes switch
    {
        >= 1L << 30 => $"{bytes / (double)(1L << 30):0.00} GiB",
        >= 1L << 20 => $"{bytes / (double)(1L << 20):0.00} MiB",
        >= 1L << 10 => $"{bytes / (double)(1L << 10):0.00} KiB",
        _ => $"{bytes} B",
    };

    private static string Shorten(string text) =>
        text.Length > ShownCharacters ? text[..(char.IsHighSurrogate(text[ShownCharacters - 1]) ? ShownCharacters - 1 : ShownCharacters)] + "…" : text;

    /// <summary>Text of a file nobody vouches for, without what a terminal would obey.</summary>
    private static string Printable(string text, bool keepLines)
    {
        StringBuilder builder = new(text.Length);
        foreach (char c in text)
        {
            _ = c switch
            {
                '\n' when keepLines => builder.Append(c),
                '\n' => builder.Append("\\n"),
                '\t' => builder.Append(keepLines ? "\t" : "\\t"),
                _ when char.IsControl(c) || char.GetUnicodeCategory(c) == System.Globalization.UnicodeCategory.Format => builder.Append('\uFFFD'),
                _ => builder.Append(c),
            };
        }
        return builder.ToString();
    }

    private static string OneLine(string text) => Printable(text.ReplaceLineEndings(" "), keepLines: false);
}
