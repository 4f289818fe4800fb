using System.Text.Encodings.Web;
using System.Text.Json;

namespace ContinualNative.Host.Demo.World;

/// <summary>
/// Writes the corpus that the demo's model is grown from: chats of the world before any drift, and chats of other desks. Their products, jargon and labels are made up
/// for each anew, so that a model learns that a name or word it never saw tells nothing, and is unsure of its answer, yet able to spell one. Deterministic.
/// </summary>
internal static class CorpusWriter
{
    /// <summary>The file that <see cref="Write"/> writes.</summary>
    public const string FileName = "support-desk.jsonl";

    /// <summary>How many chats there are by default.</summary>
    public const int DefaultDocuments = 64_000;

    private const ulong Seed = 0x5DE5C;
    private const double OtherDesks = 0.25;
    private const double OtherPolicies = 0.2;
    private const double PolicyShare = 0.25;

    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes <see cref="FileName"/> into a folder, which is made if need be, over what was there; gives its path.</summary>
    public static string Write(string folder, int documents = DefaultDocuments)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, FileName);
        using StreamWriter writer = new(path) { NewLine = "\n" };
        foreach ((DeskTask task, string message, string answer) in Chats(documents))
        {
            writer.WriteLine(JsonSerializer.Serialize(new { messages = new[] { Said("system", SupportWorld.SystemPrompt(task)), Said("user", message), Said("assistant", answer) } }, Plain));
        }
        return path;

        static object Said(string role, string content) => new { role, content };
    }

    /// <summary>The chats in their order.</summary>
    internal static IEnumerable<(DeskTask Task, string Message, string Answer)> Chats(int documents)
    {
        DeskRandom random = new(Seed);
        OtherDesk other = new(random);
        for (int i = 0; i < documents; i++)
        {
            if (random.Chance(OtherDesks))
            {
                bool policy = random.Chance(OtherPolicies);
                string message = policy ? other.Question(out string answer) : other.Chat(out answer);
                yield return (policy ? DeskTask.Policy : DeskTask.Triage, message, answer);
            }
            else if (random.Chance(PolicyShare))
            {
                Policy asked = random.Pick(KnownWorld.Policies);
                yield return (DeskTask.Policy, Phrasing.Question(random.Pick(asked.Questions), random), asked.Answer(asked.Value));
            }
            else
            {
                Intent intent = random.Pick(KnownWorld.Intents);
                Product product = random.Pick(KnownWorld.Products);
                yield return (DeskTask.Triage, Phrasing.Message(random.Pick(intent.Phrasings), product.Name, random), SupportWorld.TriageAnswer(intent.Label, product.Line));
            }
        }
    }
}
