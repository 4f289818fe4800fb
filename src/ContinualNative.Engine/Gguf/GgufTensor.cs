namespace ContinualNative.Engine.Gguf;

/// <summary>One entry of a GGUF file's tensor table.</summary>
/// <param name="Name">Such as <c>blk.0.attn_q.weight</c>.</param>
/// <param name="Type">How the elements are stored.</param>
/// <param name="Shape">Elements per dimension in ggml's order: the first is the length of a row. A matrix that maps n inputs to m outputs is [n, m].</param>
/// <param name="Offset">Bytes from <see cref="GgufFile.DataOffset"/>.</param>
/// <param name="Bytes">Size of the data.</param>
public sealed record GgufTensor(string Name, GgmlType Type, IReadOnlyList<long> Shape, long Offset, long Bytes)
{
    /// <summary>Number of elements.</summary>
    public long Elements
    {
        get
        {
            long product = 1;
            foreach (long dimension in Shape)
            {
                product *= dimension;
            }
            return product;
        }
    }

    /// <summary>The shape as text, such as <c>896 × 4864</c>.</summary>
    public string ShapeText => Shape.Count == 0 ? "1" : string.Join(" × ", Shape);

    internal long Dimension(int index) => index < Shape.Count ? Shape[index] : 1;
}
