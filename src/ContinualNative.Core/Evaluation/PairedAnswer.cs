namespace ContinualNative.Core.Evaluation;

/// <summary>What an answer of two models to one request shows of them.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Slice">Its slice, as <see cref="Curation.Slices.Of"/> names it.</param>
/// <param name="Champion">Agreement of the champion's answer with the truth, 0 to 1.</param>
/// <param name="Candidate">Agreement of the candidate's.</param>
/// <param name="ChampionRight">Whether that counts as right.</param>
/// <param name="CandidateRight">The same of the candidate's.</param>
/// <param name="ChampionValid">Whether the answer has the form that the request asked for and ended by itself.</param>
/// <param name="CandidateValid">The same of the candidate's.</param>
/// <param name="ChampionSeconds">Time to the whole answer; 0: not measured.</param>
/// <param name="CandidateSeconds">The same of the candidate's.</param>
/// <param name="TruthId">Tells truths of one request apart; empty: there is only one.</param>
public sealed record PairedAnswer(
    string RequestId,
    string Slice,
    double Champion,
    double Candidate,
    bool ChampionRight,
    bool CandidateRight,
    bool ChampionValid = true,
    bool CandidateValid = true,
    double ChampionSeconds = 0,
    double CandidateSeconds = 0,
    string TruthId = "")
{
    /// <summary>Request and truth: what <see cref="GateVerdict.GoldenRight"/> goes by. Who was right by another truth was asked something else.</summary>
    public string Key => TruthId.Length == 0 ? RequestId : $"{RequestId}:{TruthId}";
}
