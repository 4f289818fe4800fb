using System.Globalization;

namespace ContinualNative.Host.Demo.World;

/// <summary>
/// A simulated support desk whose world drifts: the requests of any week, with their right answers. Week 0 is equal for all seeds but for the draw; what changes
/// later, and when, is the seed's. Equal seeds give equal requests on every machine. Immutable and thread-safe.
/// </summary>
internal sealed class SupportWorld
{
    /// <summary>Most of a week's requests that are about anything that has changed since week 0; old traffic keeps the rest.</summary>
    public const double MostDrifted = 0.25;

    /// <summary>How many customers there are.</summary>
    public const int Customers = 120;

    private const double PolicyShare = 0.35;
    private const double TermsMentioned = 0.5;
    private const long NumbersAWeek = 1_000_000;

    private readonly ulong _seed;
    private readonly IReadOnlyList<DriftEvent> _events;

    /// <summary>The world of a seed.</summary>
    public SupportWorld(ulong seed)
    {
        _seed = seed;
        _events = DriftScript.Of(seed);
        Changes = [.. _events.Select(static e => new WorldChange(e.Week, e.Kind, e.Text))];
    }

    /// <summary>All changes to come, ordered by week.</summary>
    public IReadOnlyList<WorldChange> Changes { get; }

    /// <summary>The system prompt of a task.</summary>
    public static string SystemPrompt(DeskTask task) => task == DeskTask.Triage ? "Triage the message: intent and product line as JSON." : "Answer from the shop's terms in one line.";

    /// <summary>The requests of a week. Each <paramref name="draw"/> is another sample of the same week, such as for a test set; the first is the traffic.</summary>
    public WorldWeek Week(int week, int requests, int draw = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(week);
        ArgumentOutOfRangeException.ThrowIfNegative(requests);
        DeskRandom random = new(_seed, (ulong)week, (ulong)draw);
        double[] shares = Shares(week);
        DeskRequest[] drawn = new DeskRequest[requests];
        for (int i = 0; i < requests; i++)
        {
            int change = Choose(shares, random);
            drawn[i] = (change < 0 ? Known(week, random) : About(change, week, random)) with { Number = week * NumbersAWeek + i };
        }
        return new WorldWeek(week, drawn);
    }

    /// <summary>The right answer to a request if it came in another week: policies change, what a message means does not.</summary>
    public string TruthAt(DeskRequest request, int week)
    {
        ArgumentNullException.ThrowIfNull(request);
        return request.Task == DeskTask.Triage ? request.Answer : PolicyAnswer(KnownWorld.Policies.Single(p => p.Topic == request.Topic), week);
    }

    /// <summary>The share of a week's requests that each change has. What is new this week has its own; older changes make room for it where they are too many.</summary>
    internal double[] Shares(int week)
    {
        double[] shares = [.. _events.Select(e => e.ShareIn(week))];
        double fresh = _events.Where(e => e.Week == week).Sum(e => e.ShareIn(week));
        double older = shares.Sum() - fresh;
        double scale = older > MostDrifted - fresh ? (MostDrifted - fresh) / older : 1;
        return [.. shares.Select((share, i) => _events[i].Week == week ? share : share * scale)];
    }

    private static int Choose(double[] shares, DeskRandom random)
    {
        double at = random.Uniform();
        for (int i = 0; i < shares.Length; i++)
        {
            at -= shares[i];
            if (at < 0)
            {
                return i;
            }
        }
        return -1;
    }

    private DeskRequest Known(int week, DeskRandom random)
    {
        if (random.Chance(PolicyShare))
        {
            // Topics that changed are asked about as drift.
            Policy[] unchanged = [.. KnownWorld.Policies.Where(p => _events.All(e => e.Policy != p || e.Week > week))];
            return Question(random.PickSloped(unchanged), week, random);
        }
        Intent intent = random.PickSloped(KnownWorld.Intents);
        return Triage(random.Pick(intent.Phrasings), intent.Label, random.PickSloped(KnownWorld.Products), week, random);
    }

    private DeskRequest About(int change, int week, DeskRandom random)
    {
        DriftEvent about = _events[change];
        DeskRequest request = about.Kind switch
        {
            RequestKind.NewProduct when random.PickSloped(KnownWorld.Intents) is { } intent => Triage(random.Pick(intent.Phrasings), intent.Label, random.Pick(about.Products), week, random),
            RequestKind.NewIntent => Triage(random.Pick(about.Intent!.Phrasings), about.Intent.Label, random.PickSloped(KnownWorld.Products), week, random),
            RequestKind.NewWording => Triage(random.Pick(about.Wording!.Phrasings), about.Wording.Intent, random.PickSloped(KnownWorld.Products), week, random),
            _ => Changed(about.Policy!, week, random),
        };
        return request with { Kind = about.Kind, Change = change };
    }

    private static DeskRequest Triage(string phrasing, string intent, Product product, int week, DeskRandom random) => new()
    {
        Number = 0,
        Week = week,
        Task = DeskTask.Triage,
        SystemPrompt = SystemPrompt(DeskTask.Triage),
        Message = Phrasing.Message(phrasing, product.Name, random),
        Answer = TriageAnswer(intent, product.Line),
        WrongAnswers = WrongTriage(intent, product.Line, random),
        Kind = RequestKind.Known,
        Change = -1,
        Customer = Customer(random),
        Topic = intent,
    };

    private DeskRequest Question(Policy policy, int week, DeskRandom random)
    {
        string answer = PolicyAnswer(policy, week);
        return new DeskRequest
        {
            Number = 0,
            Week = week,
            Task = DeskTask.Policy,
            SystemPrompt = SystemPrompt(DeskTask.Policy),
            Message = Phrasing.Question(random.Pick(policy.Questions), random),
            Answer = answer,
            WrongAnswers = [.. policy.LaterValues.Prepend(policy.Value).Select(policy.Answer).Where(a => a != answer)],
            Kind = RequestKind.Known,
            Change = -1,
            Customer = Customer(random),
            Topic = policy.Topic,
        };
    }

    // Some have read of the change.
    private DeskRequest Changed(Policy policy, int week, DeskRandom random)
    {
        DeskRequest request = Question(policy, week, random);
        return random.Chance(TermsMentioned)
            ? request with { Message = Phrasing.ConditionalQuestion(Phrasing.Expand(DriftReserve.NewTerms, random), random.Pick(policy.Questions), random) }
            : request;
    }

    private string PolicyAnswer(Policy policy, int week) =>
        policy.Answer(_events.LastOrDefault(e => e.Policy == policy && e.Week <= week)?.Value ?? policy.Value);

    /// <summary>The answer to a message about a product.</summary>
    internal static string TriageAnswer(string intent, string line) => $$"""{"intent":"{{intent}}","line":"{{line}}"}""";

    private static string[] WrongTriage(string intent, string line, DeskRandom random)
    {
        string otherIntent = random.Pick([.. KnownWorld.Intents.Select(static i => i.Label).Where(l => l != intent)]);
        string otherLine = random.Pick([.. KnownWorld.Lines.Where(l => l != line)]);
        return [.. random.Shuffled([TriageAnswer(otherIntent, line), TriageAnswer(intent, otherLine)])];
    }

    // Some write often, most seldom.
    private static string Customer(DeskRandom random) => string.Create(CultureInfo.InvariantCulture, $"customer-{1 + (int)(Customers * random.Uniform() * random.Uniform()):000}");
}
