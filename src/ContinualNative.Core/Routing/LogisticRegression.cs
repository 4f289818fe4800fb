namespace ContinualNative.Core.Routing;

/// <summary>
/// Logistic regression with a Gaussian prior: the maximum of the posterior by Newton's method with a line search (iteratively reweighted least squares;
/// Hastie, Tibshirani, Friedman 2009, "The Elements of Statistical Learning", section 4.4.1). The prior makes the problem strictly concave, so that the maximum
/// exists and is finite whatever the data: separated, of one class, with constant columns, or none.
/// </summary>
internal static class LogisticRegression
{
    private const int MostSteps = 50;

    /// <summary>1 ÷ (1 + e^−x), without overflow.</summary>
    public static double Sigmoid(double x)
    {
        double e = Math.Exp(-Math.Abs(x));
        return x >= 0 ? 1 / (1 + e) : e / (1 + e);
    }

    /// <summary>
    /// Minimizes Σ wᵢ ln(1 + e^(−sᵢ xᵢᵀβ)) + ½ Σ λⱼ (βⱼ − mⱼ)², with sᵢ = ±1.
    /// </summary>
    /// <param name="rows">n × d, row by row; finite.</param>
    /// <param name="positive">n classes.</param>
    /// <param name="weights">n weights, 0 or more.</param>
    /// <param name="mean">The prior's mean m, d.</param>
    /// <param name="precision">The prior's precision λ, d, each above 0.</param>
    /// <returns>β, d.</returns>
    public static double[] Fit(ReadOnlySpan<double> rows, ReadOnlySpan<bool> positive, ReadOnlySpan<double> weights, ReadOnlySpan<double> mean, ReadOnlySpan<double> precision)
    {
        int d = mean.Length;
        double[] beta = mean.ToArray();
        double[] gradient = new double[d];
        double[] hessian = new double[d * d];
        double[] trial = new double[d];
        double loss = Loss(rows, positive, weights, mean, precision, beta);
        for (int step = 0; step < MostSteps; step++)
        {
            Derivatives(rows, positive, weights, mean, precision, beta, gradient, hessian);
            double[] direction = SolveInPlace(hessian, gradient);
            double decrease = 0;
            for (int j = 0; j < d; j++)
            {
                decrease += gradient[j] * direction[j];
            }
            // Half the squared Newton decrement bounds what is left to gain.
            if (decrease <= 1e-12 * (1 + Math.Abs(loss)))
            {
                break;
            }
            double length = 1;
            bool moved = false;
            for (int halving = 0; halving < 40 && !moved; halving++, length /= 2)
            {
                for (int j = 0; j < d; j++)
                {
                    trial[j] = beta[j] - length * direction[j];
                }
                double next = Loss(rows, positive, weights, mean, precision, trial);
                if (next <= loss - 1e-4 * length * decrease)
                {
                    (beta, trial, loss, moved) = (trial, beta, next, true);
                }
            }
            if (!moved)
            {
                break;
            }
        }
        return beta;
    }

    private static double Loss(ReadOnlySpan<double> rows, ReadOnlySpan<bool> positive, ReadOnlySpan<double> weights, ReadOnlySpan<double> mean, ReadOnlySpan<double> precision, ReadOnlySpan<double> beta)
    {
        int d = beta.Length;
        double loss = 0;
        for (int i = 0; i < positive.Length; i++)
        {
            double margin = Dot(rows.Slice(i * d, d), beta) * (positive[i] ? 1 : -1);
            loss += weights[i] * (Math.Max(-margin, 0) + Math.Log(1 + Math.Exp(-Math.Abs(margin))));
        }
        for (int j = 0; j < d; j++)
        {
            double off = beta[j] - mean[j];
            loss += precision[j] * off * off / 2;
        }
        return loss;
    }

    private static void Derivatives(
        ReadOnlySpan<double> rows, ReadOnlySpan<bool> positive, ReadOnlySpan<double> weights, ReadOnlySpan<double> mean, ReadOnlySpan<double> precision,
        ReadOnlySpan<double> beta, Span<double> gradient, Span<double> hessian)
    {
        int d = beta.Length;
        hessian.Clear();
        for (int j = 0; j < d; j++)
        {
            gradient[j] = precision[j] * (beta[j] - mean[j]);
            hessian[j * d + j] = precision[j];
        }
        for (int i = 0; i < positive.Length; i++)
        {
            ReadOnlySpan<double> row = rows.Slice(i * d, d);
            double p = Sigmoid(Dot(row, beta));
            double slope = weights[i] * (p - (positive[i] ? 1 : 0));
            double curvature = weights[i] * p * (1 - p);
            for (int j = 0; j < d; j++)
            {
                gradient[j] += slope * row[j];
                double scaled = curvature * row[j];
                Span<double> line = hessian.Slice(j * d, j + 1);
                for (int k = 0; k < line.Length; k++)
                {
                    line[k] += scaled * row[k];
                }
            }
        }
    }

    // Cholesky on the lower triangle. The prior's precision on the diagonal keeps every pivot above 0.
    private static double[] SolveInPlace(Span<double> matrix, ReadOnlySpan<double> right)
    {
        int d = right.Length;
        double[] x = right.ToArray();
        for (int j = 0; j < d; j++)
        {
            for (int i = j; i < d; i++)
            {
                double sum = matrix[i * d + j] - Dot(matrix.Slice(i * d, j), matrix.Slice(j * d, j));
                matrix[i * d + j] = i == j ? Math.Sqrt(sum) : sum / matrix[j * d + j];
            }
            x[j] = (x[j] - Dot(matrix.Slice(j * d, j), x.AsSpan(0, j))) / matrix[j * d + j];
        }
        for (int j = d - 1; j >= 0; j--)
        {
            for (int i = j + 1; i < d; i++)
            {
                x[j] -= matrix[i * d + j] * x[i];
            }
            x[j] /= matrix[j * d + j];
        }
        return x;
    }

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }
        return sum;
    }
}
