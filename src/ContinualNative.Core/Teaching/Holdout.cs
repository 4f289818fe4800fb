namespace ContinualNative.Core.Teaching;

/// <summary>
/// Requests that are never trained on, so that what is measured on them is honest. The split goes by the request's id alone: it is the same in every
/// run, and a larger share holds all of a smaller one.
/// </summary>
public static class Holdout
{
    /// <summary>Whether a request is held out.</summary>
    /// <param name="requestId">Its id.</param>
    /// <param name="share">The share of requests that is, 0 to 1.</param>
    public static bool IsHoldout(string requestId, double share)
    {
        ArgumentNullException.ThrowIfNull(requestId);
        if (!(share >= 0 && share <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(share), share, "A share is from 0 to 1.");
        }
        return StableHash.Share(StableHash.Of("holdout", requestId)) < share;
    }
}
