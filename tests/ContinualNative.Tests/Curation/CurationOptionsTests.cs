using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Curation;

namespace ContinualNative.Tests.Curation;

public sealed class CurationOptionsTests
{
    [Fact]
    public void Every_option_is_read()
    {
        const string json = """
            {"max_examples": 10, "replay_ratio": 0.5, "max_replay": 20, "near_duplicate": 0.8, "max_per_key": 0.3, "half_life": 7, "teacher_weight": 2, "correction_weight": 3,
             "accepted_weight": 0.25, "own_weight": 0.1, "pairs": false, "minimum_own_p_correct": 0.7, "minimum_trust": 0.6, "leak_limit": 0.1, "evaluation_most": 30, "golden_most": 40, "slice_most": 5}
            """;
        CurationOptions expected = new()
        {
            MaxExamples = 10,
            ReplayRatio = 0.5,
            MaxReplay = 20,
            NearDuplicate = 0.8,
            MaxPerKey = 0.3,
            HalfLife = 7,
            TeacherWeight = 2,
            CorrectionWeight = 3,
            AcceptedWeight = 0.25,
            OwnWeight = 0.1,
            Pairs = false,
            MinimumOwnPCorrect = 0.7,
            MinimumTrust = 0.6,
            LeakLimit = 0.1,
            EvaluationMost = 30,
            GoldenMost = 40,
            SliceMost = 5,
        };
        Assert.Equal(expected, Parse(json));
        expected.Validate();
        new CurationOptions().Validate();
    }

    [Theory]
    [InlineData("""{"max_examples": 0}""", "curation.max_examples")]
    [InlineData("""{"max_per_key": 0}""", "curation.max_per_key")]
    [InlineData("""{"nearDuplicate": 0.1}""", "curation.nearDuplicate")]
    [InlineData("""{"half_life": 0}""", "curation.half_life")]
    [InlineData("""{"pairs": 1}""", "curation.pairs")]
    [InlineData("""{"holdout_share": 0.1}""", "curation.holdout_share")]
    [InlineData("[]", "curation")]
    public void A_fault_names_its_key(string json, string key) =>
        Assert.Equal(key, Assert.Throws<PolicyOptionException>(() => Parse(json)).Key);

    [Fact]
    public void Options_made_in_code_are_checked_too()
    {
        Assert.Equal("curation.holdout_share", Assert.Throws<PolicyOptionException>(() => new Curator(new CurationOptions { HoldoutShare = 1.5 })).Key);
        Assert.Equal("curation.own_weight", Assert.Throws<PolicyOptionException>(() => SignalPlan.Make([], 0, 0, new CurationOptions { OwnWeight = double.NaN })).Key);
    }

    private static CurationOptions Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return CurationOptions.Parse(document.RootElement);
    }
}
