namespace ContinualNative.Host.Demo.World;

/// <summary>Something that is different from a week on.</summary>
/// <param name="Week">The first week in which it is, counted from 0.</param>
/// <param name="Kind">What requests about it are.</param>
/// <param name="Text">One line for people, such as "new product line 'e-bikes': Velto, Jarnix".</param>
internal sealed record WorldChange(int Week, RequestKind Kind, string Text);
