using System.Text.Json;
using ContinualNative.Host.Demo.World;

namespace ContinualNative.HostTests.Demo;

public sealed class SupportWorldTests
{
    private const int Weeks = 12;

    private static readonly ulong[] Seeds = [1, 2, 3, 4, 5, 77];

    [Fact]
    public void Equal_seeds_give_equal_weeks_and_other_draws_other_requests()
    {
        string first = Text(new SupportWorld(3).Week(5, 200));
        Assert.Equal(first, Text(new SupportWorld(3).Week(5, 200)));
        Assert.NotEqual(first, Text(new SupportWorld(3).Week(5, 200, draw: 1)));
        Assert.NotEqual(first, Text(new SupportWorld(4).Week(5, 200)));
    }

    [Fact]
    public void A_longer_week_begins_with_the_shorter_one() =>
        Assert.Equal(Text(new SupportWorld(9).Week(6, 50)), Text(new WorldWeek(6, [.. new SupportWorld(9).Week(6, 300).Requests.Take(50)])));

    [Fact]
    public void Drift_differs_by_seed_and_the_first_week_has_none()
    {
        Assert.Equal(Seeds.Length, Seeds.Select(static s => string.Join('\n', new SupportWorld(s).Changes)).Distinct().Count());
        Assert.All(Seeds, static s => Assert.All(new SupportWorld(s).Week(0, 500).Requests, static r => Assert.True(r.Kind == RequestKind.Known && r.Change < 0)));
    }

    [Fact]
    public void What_is_new_in_a_week_is_at_most_an_eighth_of_it_and_what_has_drifted_is_a_fifth_by_the_last_third()
    {
        foreach (ulong seed in Seeds)
        {
            SupportWorld world = new(seed);
            Assert.All(Enumerable.Range(0, Weeks), week => Assert.True(world.Shares(week).Where((_, i) => world.Changes[i].Week == week).Sum() <= 0.125));
            Assert.All(Enumerable.Range(0, Weeks), week => Assert.True(world.Shares(week).Sum() <= SupportWorld.MostDrifted + 1e-9));
            Assert.All(Enumerable.Range(Weeks - Weeks / 3, Weeks / 3), week => Assert.True(world.Shares(week).Sum() >= 0.2));
            int drifted = world.Week(Weeks - 1, 2000).Requests.Count(static r => r.Kind != RequestKind.Known);
            Assert.InRange(drifted / 2000.0, world.Shares(Weeks - 1).Sum() - 0.05, world.Shares(Weeks - 1).Sum() + 0.05);
        }
    }

    [Fact]
    public void Nothing_is_asked_for_before_its_week()
    {
        foreach (ulong seed in Seeds)
        {
            SupportWorld world = new(seed);
            for (int week = 0; week < Weeks; week++)
            {
                Assert.All(world.Week(week, 300).Requests, r => Assert.True(r.Change < 0 || (world.Changes[r.Change].Week <= week && world.Changes[r.Change].Kind == r.Kind)));
            }
        }
    }

    [Fact]
    public void A_changed_policy_has_its_old_answer_before_its_week_and_the_new_one_from_then_on()
    {
        SupportWorld world = new(1);
        foreach (DeskRequest request in world.Week(Weeks - 1, 1000).Requests.Where(static r => r.Kind == RequestKind.ChangedPolicy))
        {
            int since = world.Changes[request.Change].Week;
            Policy policy = KnownWorld.Policies.Single(p => p.Topic == request.Topic);
            Assert.Equal(policy.Answer(policy.Value), world.TruthAt(request, since - 1));
            Assert.Equal(request.Answer, world.TruthAt(request, since));
            Assert.NotEqual(request.Answer, policy.Answer(policy.Value));
        }
    }

    [Fact]
    public void An_answer_holds_in_its_own_week_and_wrong_answers_are_wrong()
    {
        SupportWorld world = new(2);
        Assert.All(world.Week(9, 1000).Requests, r =>
        {
            Assert.Equal(r.Answer, world.TruthAt(r, r.Week));
            Assert.DoesNotContain(r.Answer, r.WrongAnswers);
            Assert.True(r.WrongAnswers.Count >= 2 && r.WrongAnswers.Distinct().Count() == r.WrongAnswers.Count);
        });
    }

    [Fact]
    public void Triage_answers_are_json_and_messages_hold_no_pattern()
    {
        foreach (DeskRequest request in Seeds.SelectMany(static s => new SupportWorld(s).Week(11, 300).Requests))
        {
            Assert.True(request.Message.IndexOfAny(['[', ']', '|', '{', '}']) < 0, request.Message);
            if (request.Task == DeskTask.Triage)
            {
                using JsonDocument json = JsonDocument.Parse(request.Answer);
                Assert.Equal(["intent", "line"], json.RootElement.EnumerateObject().Select(static p => p.Name));
            }
        }
    }

    [Fact]
    public void Equal_messages_of_the_same_week_have_equal_answers()
    {
        SupportWorld world = new(5);
        IEnumerable<DeskRequest> requests = Enumerable.Range(0, 4).SelectMany(draw => world.Week(11, 1000, draw).Requests);
        Assert.All(requests.GroupBy(static r => (r.Task, r.Message)), static same => Assert.Single(same.Select(static r => r.Answer).Distinct()));
    }

    private static string Text(WorldWeek week) => string.Join('\n', week.Requests.Select(static r => $"{r.Number} {r.Customer} {r.Kind} {r.Message} => {r.Answer} not {string.Join(" nor ", r.WrongAnswers)}"));
}
