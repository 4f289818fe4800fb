namespace ContinualNative.Bench;

/// <summary>Embeddings of simulated prompts: kinds of request as directions, each prompt a noisy one of them, of length 1.</summary>
internal sealed class GateRunPrompts
{
    private const int Dimension = 256;
    private const int Kinds = 30;
    private const int NewKinds = 5;

    private readonly Random _random;
    private readonly float[][] _centres;
    private readonly double[] _cumulative = new double[Kinds];
    private readonly float[] _next = new float[Dimension];

    public GateRunPrompts(int seed)
    {
        _random = new Random(seed);
        _centres = [.. Enumerable.Range(0, Kinds + NewKinds).Select(_ => Normalize(Fill(new float[Dimension], 1)))];
        double total = Enumerable.Range(1, Kinds).Sum(static k => 1.0 / k);
        for (int k = 0; k < Kinds; k++)
        {
            _cumulative[k] = (k > 0 ? _cumulative[k - 1] : 0) + 1 / (total * (k + 1));
        }
    }

    /// <summary>The next prompt, of a new kind with probability <paramref name="share"/>. Valid until the next call.</summary>
    public ReadOnlySpan<float> Next(double share)
    {
        int kind;
        if (_random.NextDouble() < share)
        {
            kind = Kinds + _random.Next(NewKinds);
        }
        else
        {
            double u = _random.NextDouble();
            kind = Math.Min(Array.FindIndex(_cumulative, c => u < c) is >= 0 and int found ? found : Kinds - 1, Kinds - 1);
        }
        Fill(_next, 0.05);
        for (int i = 0; i < Dimension; i++)
        {
            _next[i] += _centres[kind][i];
        }
        return Normalize(_next);
    }

    private float[] Fill(float[] vector, double scale)
    {
        for (int i = 0; i < vector.Length; i++)
        {
            vector[i] = (float)(scale * GateRunNumbers.Normal(_random));
        }
        return vector;
    }

    private static float[] Normalize(float[] vector)
    {
        float length = MathF.Sqrt(vector.Sum(static x => x * x));
        for (int i = 0; i < vector.Length; i++)
        {
            vector[i] /= length;
        }
        return vector;
    }
}
