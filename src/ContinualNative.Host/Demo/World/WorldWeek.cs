namespace ContinualNative.Host.Demo.World;

/// <summary>The requests of one week, in the order of their arrival.</summary>
/// <param name="Week">Counted from 0, the week before any drift.</param>
/// <param name="Requests">As many as were asked for.</param>
internal sealed record WorldWeek(int Week, IReadOnlyList<DeskRequest> Requests);
