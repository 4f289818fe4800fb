namespace ContinualNative.Core.Curation;

/// <summary>Whether two answers to a request of a task say the same. Must be symmetric and the same in every call.</summary>
/// <param name="task">The task's name.</param>
/// <param name="a">An answer, in the form of <see cref="Traffic.RequestRecord.LocalAnswer"/>.</param>
/// <param name="b">The other.</param>
public delegate bool AnswerComparer(string task, string a, string b);
