namespace ContinualNative.Core.Routing;

/// <summary>
/// The share of requests that may go up: a hard limit over every window of requests in a row, and which requests are the least sure ones of late, so that the
/// budget is spent where it helps most and not on whoever comes first. Thread-safe; allocates nothing.
/// </summary>
internal sealed class EscalationBudget
{
    private const int Recent = 2048;
    private const int Bins = 512;
    private const int Few = 32;
    private const double Widest = 14;

    private readonly Lock _gate = new();
    private readonly bool[] _up;
    private readonly int _most;
    private readonly ushort[] _recent = new ushort[Recent];
    private readonly int[] _counts = new int[Bins];
    private int _next;
    private int _used;
    private int _scoreNext;
    private int _scores;

    public EscalationBudget(double share, int window)
    {
        Share = share;
        _up = new bool[window];
        // 0.07 · 100 is a little over 7 and 0.29 · 100 a little under 29.
        _most = (int)Math.Floor(share * window + 1e-9);
    }

    public double Share { get; }

    /// <summary>Requests of the current window that went up.</summary>
    public int Used
    {
        get
        {
            lock (_gate)
            {
                return _used;
            }
        }
    }

    /// <summary>Notes a request's probability, and tells whether it is among the <see cref="Share"/> least sure of the last 2048.</summary>
    /// <param name="probability">Above 0 and below 1.</param>
    /// <param name="draw">Uniform in [0, 1), the request's own: decides among equals, and while little is known.</param>
    /// <param name="threshold">About where the line is: this probability is below it exactly when the answer is true.</param>
    public bool IsAmongLeastSure(double probability, double draw, out double threshold)
    {
        ushort bin = (ushort)Bin(probability);
        lock (_gate)
        {
            if (_scores == Recent)
            {
                _counts[_recent[_scoreNext]]--;
            }
            else
            {
                _scores++;
            }
            _recent[_scoreNext] = bin;
            _counts[bin]++;
            _scoreNext = (_scoreNext + 1) % Recent;
            if (_scores < Few)
            {
                bool drawn = draw < Share;
                threshold = drawn ? Math.BitIncrement(probability) : probability;
                return drawn;
            }
            double line = Share * _scores;
            int below = 0, edge = 0;
            while (edge < Bins && below + _counts[edge] < line)
            {
                below += _counts[edge++];
            }
            // Of the bin that the line goes through, the part that is left of the share.
            bool least = bin < edge || (bin == edge && below + draw * _counts[bin] < line);
            double middle = Edge(edge + 0.5);
            threshold = least ? Math.Max(Math.BitIncrement(probability), middle) : Math.Min(probability, middle);
            return least;
        }
    }

    /// <summary>Forgets which probabilities were seen, since those to come mean something else. What went up still counts.</summary>
    public void Forget()
    {
        lock (_gate)
        {
            Array.Clear(_counts);
            (_scores, _scoreNext) = (0, 0);
        }
    }

    /// <summary>
    /// Counts a request in, and tells whether it may go up. With several budgets it may only when it may by each, and only then any is used.
    /// </summary>
    public static bool Spend(EscalationBudget? key, EscalationBudget? task, EscalationBudget? total, bool up)
    {
        // Always in this order: no two threads wait for each other.
        key?._gate.Enter();
        try
        {
            task?._gate.Enter();
            try
            {
                total?._gate.Enter();
                try
                {
                    up = up && (key?.Leaves() ?? true) && (task?.Leaves() ?? true) && (total?.Leaves() ?? true);
                    key?.Count(up);
                    task?.Count(up);
                    total?.Count(up);
                    return up;
                }
                finally
                {
                    total?._gate.Exit();
                }
            }
            finally
            {
                task?._gate.Exit();
            }
        }
        finally
        {
            key?._gate.Exit();
        }
    }

    // The request takes the oldest one's place in the window.
    private bool Leaves() => _used - (_up[_next] ? 1 : 0) < _most;

    private void Count(bool up)
    {
        _used += (up ? 1 : 0) - (_up[_next] ? 1 : 0);
        _up[_next] = up;
        _next = _next + 1 == _up.Length ? 0 : _next + 1;
    }

    private static double Edge(double bin) => LogisticRegression.Sigmoid(bin / Bins * 2 * Widest - Widest);

    // Equal steps of log-odds: the difference between 0.99 and 0.999 matters as much as that between 0.5 and 0.9.
    private static int Bin(double probability)
    {
        double logit = Math.Log(probability / (1 - probability));
        return (int)Math.Clamp((logit + Widest) / (2 * Widest) * Bins, 0, Bins - 1);
    }
}
