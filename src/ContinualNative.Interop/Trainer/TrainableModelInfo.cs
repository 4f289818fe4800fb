namespace ContinualNative.Interop.Trainer;

/// <summary>What the trainer knows of a model.</summary>
/// <param name="Architecture"><c>general.architecture</c>.</param>
/// <param name="Name"><c>general.name</c>, or empty.</param>
/// <param name="Layers">Transformer blocks.</param>
/// <param name="Width">Length of a token's vector.</param>
/// <param name="FeedForward">Inner length of the feed-forward part.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KvHeads">Key and value heads.</param>
/// <param name="HeadWidth">Length of a head's vector.</param>
/// <param name="Vocabulary">Tokens.</param>
/// <param name="Context">Trained context in tokens.</param>
/// <param name="Tied">Whether the output projection is the token embedding.</param>
/// <param name="Parameters">Number of weights.</param>
/// <param name="WeightBytes">Their bytes in the file.</param>
public sealed record TrainableModelInfo(
    string Architecture,
    string Name,
    int Layers,
    int Width,
    int FeedForward,
    int Heads,
    int KvHeads,
    int HeadWidth,
    int Vocabulary,
    int Context,
    bool Tied,
    long Parameters,
    long WeightBytes);
