using System.Runtime.InteropServices;

namespace ContinualNative.Engine.Constraints;

/// <summary>
/// Plays llama.cpp's matcher over one nasty text to see whether its stacks multiply. llama.cpp keeps one stack per way to go on and merges
/// only equal ones, so that a grammar such as <c>s ::= "a" s "b" | "a" s "c" | "x"</c> doubles them with every <c>a</c>: a short
/// request could take all memory. Stacks here are linked and shared, so that looking costs little.
/// Decision: a probe and no proof. The text is chosen greedily (always the character that most stacks want), which finds growth
/// that a plain repetition causes; growth that only one hidden text causes stays unseen.
/// </summary>
internal sealed class GrammarProbe
{
    private const int Steps = 2000;
    private const int MaxStacks = 2000;
    private const int MaxWork = 1_000_000;

    // Characters to try against negated classes and '.'.
    private static readonly int[] Samples = ['a', '0', ' ', '"', 'Z', '\n', 0xE9];

    private readonly GrammarElement[][] _rules;
    private readonly List<(int Rule, int Index, int Below)> _nodes = [default];
    private readonly Dictionary<(int Rule, int Index, int Below), int> _known = [];
    private int _work;

    private GrammarProbe(GrammarElement[][] rules) => _rules = rules;

    /// <summary>Whether the stacks grow beyond what is bearable.</summary>
    public static bool Explodes(GrammarElement[][] rules, int root)
    {
        var probe = new GrammarProbe(rules);
        var stacks = new HashSet<int>();
        for (int i = 0; ; i++)
        {
            bool start = i == 0 || rules[root][i - 1].Kind == ElementKind.Alternative;
            if (start && !probe.Advance(probe.Push(root, i, 0), stacks))
            {
                return true;
            }

            if (rules[root][i].Kind == ElementKind.End)
            {
                break;
            }
        }

        for (int step = 0; step < Steps && stacks.Count > 0 && probe._work < MaxWork; step++)
        {
            int character = probe.MostWanted(stacks);
            var next = new HashSet<int>();
            foreach (int stack in stacks)
            {
                (int rule, int index, int below) = probe._nodes[stack];
                if (stack != 0 && probe.Matches(rule, index, character, out int after) && !probe.Advance(probe.Push(rule, after, below), next))
                {
                    return true;
                }
            }

            stacks = next;
        }

        return false;
    }

    // Stack 0 is the empty one. An end of alternative is never on a stack.
    private int Push(int rule, int index, int below)
    {
        if (_rules[rule][index].Kind is ElementKind.End or ElementKind.Alternative)
        {
            return below;
        }

        ref int id = ref CollectionsMarshal.GetValueRefOrAddDefault(_known, (rule, index, below), out bool exists);
        if (!exists)
        {
            id = _nodes.Count;
            _nodes.Add((rule, index, below));
        }

        return id;
    }

    /// <summary>Expands rule references until a character is on top; false where there are too many stacks.</summary>
    private bool Advance(int stack, HashSet<int> result)
    {
        var seen = new HashSet<int>();
        var todo = new Stack<int>();
        todo.Push(stack);
        while (todo.TryPop(out int current))
        {
            if (!seen.Add(current))
            {
                continue;
            }

            _work++;
            (int rule, int index, int below) = _nodes[current];
            if (current == 0 || _rules[rule][index].Kind != ElementKind.Reference)
            {
                result.Add(current);
                if (result.Count > MaxStacks)
                {
                    return false;
                }

                continue;
            }

            int target = _rules[rule][index].Value;
            int rest = Push(rule, index + 1, below);
            GrammarElement[] body = _rules[target];
            for (int i = 0; i < body.Length; i++)
            {
                if (i == 0 || body[i - 1].Kind == ElementKind.Alternative)
                {
                    todo.Push(Push(target, i, rest));
                }
            }

            if (seen.Count > MaxStacks * 4)
            {
                return false;
            }
        }

        return true;
    }

    private int MostWanted(HashSet<int> stacks)
    {
        var votes = new Dictionary<int, int>();
        foreach (int stack in stacks)
        {
            if (stack != 0)
            {
                (int rule, int index, _) = _nodes[stack];
                GrammarElement first = _rules[rule][index];
                int[] samples = first.Kind == ElementKind.Character ? [first.Value] : Samples;
                foreach (int sample in samples)
                {
                    CollectionsMarshal.GetValueRefOrAddDefault(votes, sample, out _)++;
                }
            }
        }

        // Of the characters that most stacks name, the one that most stacks take.
        int best = 0;
        int most = -1;
        foreach ((int character, _) in votes.OrderByDescending(vote => vote.Value).Take(8))
        {
            int takers = stacks.Count(stack => stack != 0 && Matches(_nodes[stack].Rule, _nodes[stack].Index, character, out _));
            if (takers > most)
            {
                (best, most) = (character, takers);
            }
        }

        return best;
    }

    private bool Matches(int rule, int index, int character, out int after)
    {
        GrammarElement[] body = _rules[rule];
        GrammarElement first = body[index];
        bool found = first.Kind == ElementKind.Any;
        int i = index;
        do
        {
            if (body[i + 1].Kind == ElementKind.UpTo)
            {
                found |= body[i].Value <= character && character <= body[i + 1].Value;
                i += 2;
            }
            else
            {
                found |= first.Kind != ElementKind.Any && body[i].Value == character;
                i++;
            }
        }
        while (body[i].Kind == ElementKind.OrCharacter);
        after = i;
        return found != (first.Kind == ElementKind.Not);
    }
}
