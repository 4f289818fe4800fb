namespace ContinualNative.Host.Reporting.Learning;

/// <summary>What a long run tells of itself while it goes on. May be called from any thread.</summary>
internal interface ILearningView
{
    /// <summary>A period is over.</summary>
    void Period(LearningPeriod period);

    /// <summary>What is done now, such as <c>week 3: training, step 40 of 120, loss 0.91</c>.</summary>
    /// <param name="activity">In words.</param>
    /// <param name="share">How much of it is done, 0 to 1; null: unknown.</param>
    void Now(string activity, double? share = null);
}
