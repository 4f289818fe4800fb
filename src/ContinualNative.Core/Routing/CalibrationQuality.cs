namespace ContinualNative.Core.Routing;

/// <summary>How good predicted probabilities are, on samples that the model was not fitted to.</summary>
/// <param name="Samples">How many.</param>
/// <param name="Accuracy">Share whose answer was right.</param>
/// <param name="Brier">Mean squared difference between probability and outcome (Brier 1950).</param>
/// <param name="LogLoss">Mean −ln of the probability given to what happened, nats.</param>
/// <param name="ExpectedCalibrationError">Mean distance between mean probability and share of right answers over ten bins of equal count, weighted by count.</param>
/// <param name="Auc">Probability that a right answer got a higher probability than a wrong one, ties half; null when there are not both.</param>
public sealed record CalibrationQuality(int Samples, double Accuracy, double Brier, double LogLoss, double ExpectedCalibrationError, double? Auc)
{
    private const int Bins = 10;

    /// <summary>The figures of predictions (each above 0 and below 1) and outcomes, one each; null for none.</summary>
    public static CalibrationQuality? Of(ReadOnlySpan<double> predicted, ReadOnlySpan<bool> correct)
    {
        int n = predicted.Length;
        if (n == 0)
        {
            return null;
        }
        double[] p = predicted.ToArray();
        bool[] y = correct.ToArray();
        Array.Sort(p, y);
        double brier = 0, loss = 0;
        long right = 0;
        for (int i = 0; i < n; i++)
        {
            double miss = p[i] - (y[i] ? 1 : 0);
            brier += miss * miss;
            loss -= Math.Log(y[i] ? p[i] : 1 - p[i]);
            right += y[i] ? 1 : 0;
        }
        double error = 0;
        for (int bin = 0; bin < Bins; bin++)
        {
            int from = (int)((long)n * bin / Bins), to = (int)((long)n * (bin + 1) / Bins);
            double gap = 0;
            for (int i = from; i < to; i++)
            {
                gap += p[i] - (y[i] ? 1 : 0);
            }
            error += Math.Abs(gap);
        }
        return new CalibrationQuality(n, (double)right / n, brier / n, loss / n, error / n, AreaUnderCurve(p, y, right));
    }

    // The Mann-Whitney statistic: for each wrong answer the right ones above it, and half of those beside it.
    private static double? AreaUnderCurve(double[] ascending, bool[] correct, long right)
    {
        long wrong = correct.Length - right;
        if (right == 0 || wrong == 0)
        {
            return null;
        }
        double pairs = 0;
        long rightBelow = 0;
        for (int from = 0; from < ascending.Length;)
        {
            int to = from;
            long rightHere = 0;
            for (; to < ascending.Length && ascending[to] == ascending[from]; to++)
            {
                rightHere += correct[to] ? 1 : 0;
            }
            pairs += (to - from - rightHere) * (right - rightBelow - rightHere / 2.0);
            rightBelow += rightHere;
            from = to;
        }
        return pairs / right / wrong;
    }
}
