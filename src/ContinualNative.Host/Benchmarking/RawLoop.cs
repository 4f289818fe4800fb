using System.Diagnostics;
using System.Numerics.Tensors;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Host.Benchmarking;

/// <summary>
/// What llama.cpp does when nothing is in its way: prompts in batches as large as they may be, then one decode per token of all sequences, the likeliest
/// token taken, no text, no queue, no network. The yardstick for the server.
/// </summary>
internal sealed class RawLoop : IDisposable
{
    private const int BatchTokens = 512;

    private readonly LlamaThreadpool _threadpool;
    private readonly LlamaContextHandle _context;
    private readonly LlamaBatch _batch = new(BatchTokens);
    private readonly int _sequences;

    /// <param name="model">The model.</param>
    /// <param name="sequences">How many run at once.</param>
    /// <param name="contextLength">Longest sequence.</param>
    /// <param name="threads">Compute threads.</param>
    /// <param name="unified">One pool of KV cells, as the server has, or one per sequence.</param>
    public RawLoop(LlamaModelHandle model, int sequences, int contextLength, int threads, bool unified)
    {
        _sequences = sequences;
        _threadpool = new LlamaThreadpool(threads, poll: 50);
        _context = LlamaContextHandle.Create(
            model,
            new LlamaContextOptions
            {
                KvTokens = contextLength * sequences,
                MaxSequences = sequences,
                MaxOutputs = Math.Max(64, sequences),
                BatchTokens = BatchTokens,
                Threads = threads,
                Unified = unified,
            },
            _threadpool);
    }

    /// <summary>Generates <paramref name="tokens"/> tokens after each prompt; the time of all of it.</summary>
    public TimeSpan Run(int[][] prompts, int tokens)
    {
        _context.Clear();
        long start = Stopwatch.GetTimestamp();
        int[] next = new int[_sequences];
        Span<int> outputs = stackalloc int[_sequences];
        _batch.Clear();
        outputs.Fill(-1);
        for (int s = 0; s < _sequences; s++)
        {
            for (int i = 0; i < prompts[s].Length; i++)
            {
                if (_batch.Count == _batch.Capacity)
                {
                    Decode(outputs, next);
                }
                bool last = i == prompts[s].Length - 1;
                int index = _batch.Add(prompts[s][i], i, s, last);
                if (last)
                {
                    outputs[s] = index;
                }
            }
        }
        Decode(outputs, next);
        for (int t = 1; t < tokens; t++)
        {
            for (int s = 0; s < _sequences; s++)
            {
                outputs[s] = _batch.Add(next[s], prompts[s].Length + t - 1, s, output: true);
            }
            Decode(outputs, next);
        }
        return Stopwatch.GetElapsedTime(start);
    }

    public void Dispose()
    {
        _context.Dispose();
        _threadpool.Dispose();
        _batch.Dispose();
    }

    private void Decode(Span<int> outputs, int[] next)
    {
        if (_context.Decode(_batch) != 0)
        {
            throw new LlamaException("llama_decode", "The raw loop's context is too small for its prompts.");
        }
        for (int s = 0; s < _sequences; s++)
        {
            if (outputs[s] >= 0)
            {
                next[s] = TensorPrimitives.IndexOfMax<float>(_context.Logits(outputs[s]));
            }
        }
        outputs.Fill(-1);
        _batch.Clear();
    }
}
