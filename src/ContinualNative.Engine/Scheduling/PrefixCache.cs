using ContinualNative.Engine.Adapters;

namespace ContinualNative.Engine.Scheduling;

/// <summary>
/// Which sequence id holds the KV of which tokens: a radix tree per adapter version, so that KV made under one adapter is never
/// found under another. It knows tokens and sequence ids only; the scheduler moves the cells. Engine thread only.
/// </summary>
internal sealed class PrefixCache
{
    private readonly Dictionary<AdapterVersion, Node> _roots = [];
    private readonly LinkedList<Entry> _idle = new();

    /// <summary>A sequence id whose cells hold <see cref="Length"/> tokens.</summary>
    internal sealed class Entry
    {
        internal Entry(AdapterVersion version, int sequenceId, int length)
        {
            Version = version;
            SequenceId = sequenceId;
            Length = length;
        }

        public AdapterVersion Version { get; }

        public int SequenceId { get; }

        public int Length { get; }

        /// <summary>Where it stands in the order of last use; null while a running sequence owns the id.</summary>
        internal LinkedListNode<Entry>? Idle { get; set; }

        internal Node End { get; set; } = null!;
    }

    /// <summary>An edge of the tree with the node at its end.</summary>
    internal sealed class Node
    {
        public ReadOnlyMemory<int> Edge { get; set; }

        public Node? Parent { get; set; }

        public Dictionary<int, Node> Children { get; } = [];

        /// <summary>The entry that ends here; at most one, because a second would hold the same tokens.</summary>
        public Entry? Entry { get; set; }
    }

    /// <summary>Entries that no running sequence owns.</summary>
    public int IdleCount => _idle.Count;

    /// <summary>Tokens in all trees, shared ones counted once: the cells that entries hold.</summary>
    public long Tokens { get; private set; }

    /// <summary>
    /// The entry that shares the longest prefix with <paramref name="tokens"/> under <paramref name="version"/>, and how many tokens it shares.
    /// An idle entry counts as used.
    /// </summary>
    public Entry? Find(AdapterVersion version, ReadOnlySpan<int> tokens, out int shared)
    {
        shared = 0;
        if (tokens.IsEmpty || !_roots.TryGetValue(version, out Node? node))
        {
            return null;
        }
        while (shared < tokens.Length && node.Children.TryGetValue(tokens[shared], out Node? child))
        {
            int common = child.Edge.Span.CommonPrefixLength(tokens[shared..]);
            shared += common;
            node = child;
            if (common < child.Edge.Length)
            {
                break;
            }
        }
        if (shared == 0)
        {
            return null;
        }
        // Everything below holds these tokens too; every leaf is an entry.
        Entry entry = Below(node);
        Touch(entry);
        return entry;
    }

    /// <summary>
    /// Records that <paramref name="sequenceId"/> holds <paramref name="tokens"/>. null when an entry holds all of them already (it counts as used): the
    /// caller keeps its id. <paramref name="idle"/> entries can be evicted; others belong to a running sequence until <see cref="Remove"/>.
    /// </summary>
    public Entry? Insert(AdapterVersion version, ReadOnlySpan<int> tokens, int sequenceId, bool idle)
    {
        if (!_roots.TryGetValue(version, out Node? node))
        {
            _roots.Add(version, node = new Node());
        }
        int at = 0;
        while (at < tokens.Length)
        {
            if (!node.Children.TryGetValue(tokens[at], out Node? child))
            {
                Node leaf = new() { Edge = tokens[at..].ToArray(), Parent = node };
                node.Children.Add(tokens[at], leaf);
                Tokens += leaf.Edge.Length;
                node = leaf;
                break;
            }
            int common = child.Edge.Span.CommonPrefixLength(tokens[at..]);
            at += common;
            node = common == child.Edge.Length ? child : Split(child, common);
        }
        if (node.Entry is not null || node.Children.Count > 0)
        {
            // An entry here or below holds the same tokens.
            Entry holder = Below(node);
            Touch(holder);
            Prune(node);
            return null;
        }
        Entry entry = new(version, sequenceId, tokens.Length) { End = node };
        node.Entry = entry;
        if (idle)
        {
            entry.Idle = _idle.AddLast(entry);
        }
        return entry;
    }

    /// <summary>Takes an entry out; its sequence id is the caller's again.</summary>
    public void Remove(Entry entry)
    {
        if (entry.Idle is { } position)
        {
            _idle.Remove(position);
            entry.Idle = null;
        }
        entry.End.Entry = null;
        Prune(entry.End);
    }

    /// <summary>Idle entries that end on the way to <paramref name="entry"/>: what they hold, it holds too.</summary>
    public Entry? IdleAncestor(Entry entry)
    {
        for (Node? node = entry.End.Parent; node is not null; node = node.Parent)
        {
            if (node.Entry is { Idle: not null } ancestor)
            {
                return ancestor;
            }
        }
        return null;
    }

    /// <summary>The idle entry that was used longest ago, or null.</summary>
    public Entry? Oldest() => _idle.First?.Value;

    /// <summary>Some idle entry of a version, or null.</summary>
    public Entry? IdleOf(AdapterVersion version)
    {
        foreach (Entry entry in _idle)
        {
            if (entry.Version == version)
            {
                return entry;
            }
        }
        return null;
    }

    private void Touch(Entry entry)
    {
        if (entry.Idle is { } position)
        {
            _idle.Remove(position);
            _idle.AddLast(position);
        }
    }

    private static Entry Below(Node node)
    {
        while (node.Entry is null)
        {
            node = node.Children.Values.First();
        }
        return node.Entry;
    }

    private static Node Split(Node child, int at)
    {
        Node parent = child.Parent!;
        Node middle = new() { Edge = child.Edge[..at], Parent = parent };
        parent.Children[middle.Edge.Span[0]] = middle;
        child.Edge = child.Edge[at..];
        child.Parent = middle;
        middle.Children.Add(child.Edge.Span[0], child);
        return middle;
    }

    // Drops nodes that hold nothing, and joins a node with its only child, so that every leaf and every fork has a reason.
    private void Prune(Node node)
    {
        while (node.Parent is { } parent && node.Entry is null)
        {
            if (node.Children.Count == 0)
            {
                parent.Children.Remove(node.Edge.Span[0]);
                Tokens -= node.Edge.Length;
                node = parent;
                continue;
            }
            if (node.Children.Count == 1)
            {
                Node only = node.Children.Values.First();
                int[] joined = [.. node.Edge.Span, .. only.Edge.Span];
                only.Edge = joined;
                only.Parent = parent;
                parent.Children[joined[0]] = only;
            }
            return;
        }
        if (node.Parent is null && node.Children.Count == 0)
        {
            foreach ((AdapterVersion version, Node root) in _roots)
            {
                if (root == node)
                {
                    _roots.Remove(version);
                    break;
                }
            }
        }
    }
}
