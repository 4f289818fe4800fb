namespace ContinualNative.Core.Teaching;

/// <summary>How a local answer is compared with the teacher's. In JSON and in <see cref="TeacherLabel.Measure"/> they have the names of <see cref="Agreement.NameOf"/>.</summary>
public enum AgreementMeasure
{
    /// <summary>Letter by letter, white space around both aside: 0 or 1.</summary>
    Exact = 0,

    /// <summary>As words: case, forms of one character, white space, and what surrounds the answer (quotes, Markdown, a full stop) do not matter: 0 or 1.</summary>
    Normalized = 1,

    /// <summary>As JSON values: the share of equal leaves.</summary>
    Json = 2,

    /// <summary>Cosine of the answers' embeddings, or <see cref="TokenF1"/> where there is no embedder.</summary>
    Similarity = 3,

    /// <summary>Harmonic mean of precision and recall of words.</summary>
    TokenF1 = 4,

    /// <summary>A model reads both and gives a verdict; see <see cref="JudgePrompt"/>.</summary>
    Judge = 5,
}
