using ContinualNative.Engine.Adapters;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Engine.Scheduling;

/// <summary>
/// Which sequence id holds the KV of which tokens: a radix tree per adapter version, so that KV made under one adapter is never
/// found under another. An entry is resident, when cells hold its KV, or spilled, when only a copy in host memory does. The tree knows tokens and
/// sequence ids only; the scheduler moves the cells. Engine thread only.
/// </summary>
internal sealed class PrefixCache
{
    private readonly Dictionary<AdapterVersion, Node> _roots = [];
    private readonly LinkedList<Entry> _idle = new();
    private readonly LinkedList<Entry> _spilled = new();

    /// <summary>The KV of <see cref="Length"/> tokens, wherever it is.</summary>
    internal sealed class Entry
    {
        internal Entry(AdapterVersion version, int sequenceId, int length)
        {
            Version = version;
            SequenceId = sequenceId;
            Length = length;
        }

        public AdapterVersion Version { get; }

        /// <summary>The sequence id whose cells hold the tokens; −1 while spilled.</summary>
        public int SequenceId { get; internal set; }

        public int Length { get; }

        public bool IsResident => SequenceId >= 0;

        /// <summary>The copy in host memory, if there is one. An entry's KV never changes, so a copy stays right when the entry is restored.</summary>
        public LlamaSequenceState? Copy { get; set; }

        /// <summary>Where it stands in the order of last use of its kind; null while a running sequence owns the id.</summary>
        internal LinkedListNode<Entry>? Position { get; set; }

        internal Node End { get; set; } = null!;

        /// <summary>Another running sequence's entry with the same end.</summary>
        internal Entry? Next { get; set; }
    }

    /// <summary>An edge of the tree with the node at its end.</summary>
    internal sealed class Node
    {
        public ReadOnlyMemory<int> Edge { get; set; }

        public Node? Parent { get; set; }

        public Dictionary<int, Node> Children { get; } = [];

        /// <summary>The entry that ends here and that no running sequence owns; at most one, because a second would hold the same tokens.</summary>
        public Entry? Idle { get; set; }

        /// <summary>The entries of running sequences that end here, linked by <see cref="Entry.Next"/>.</summary>
        public Entry? Running { get; set; }

        /// <summary>Resident entries here and below. The edge's tokens are in cells while there is one.</summary>
        public int Residents { get; set; }
    }

    /// <summary>What was found: the resident entry that shares most, and a spilled one where that shares more; and how many tokens each shares.</summary>
    internal readonly record struct Match(Entry? Resident, int ResidentLength, Entry? Spilled, int SpilledLength);

    /// <summary>Resident entries that no running sequence owns.</summary>
    public int IdleCount => _idle.Count;

    /// <summary>Entries in host memory only.</summary>
    public int SpilledCount => _spilled.Count;

    /// <summary>Tokens of resident entries in all trees, shared ones counted once: the cells that they hold.</summary>
    public long Tokens { get; private set; }

    /// <summary>
    /// The entries that share the longest prefix with <paramref name="tokens"/> under <paramref name="version"/>. Idle and spilled ones that are returned
    /// count as used.
    /// </summary>
    public Match Find(AdapterVersion version, ReadOnlySpan<int> tokens)
    {
        if (tokens.IsEmpty || !_roots.TryGetValue(version, out Node? node))
        {
            return default;
        }
        int shared = 0;
        Node? residentNode = null;
        int residentLength = 0;
        while (shared < tokens.Length && node.Children.TryGetValue(tokens[shared], out Node? child))
        {
            int common = child.Edge.Span.CommonPrefixLength(tokens[shared..]);
            shared += common;
            node = child;
            if (node.Residents > 0)
            {
                residentNode = node;
                residentLength = shared;
            }
            if (common < child.Edge.Length)
            {
                break;
            }
        }
        if (shared == 0)
        {
            return default;
        }
        // Everything below a node holds its tokens too; every leaf is an entry.
        Entry? resident = residentNode is null ? null : Below(residentNode);
        Entry? spilled = node == residentNode ? null : Below(node);
        Touch(resident);
        Touch(spilled);
        return new Match(resident, residentLength, spilled, spilled is null ? 0 : shared);
    }

    /// <summary>
    /// Records that <paramref name="sequenceId"/> holds <paramref name="tokens"/> and that no running sequence owns it. null when an entry of any kind holds
    /// all of them already (it counts as used): the caller keeps its id.
    /// </summary>
    public Entry? InsertIdle(AdapterVersion version, ReadOnlySpan<int> tokens, int sequenceId)
    {
        Node node = NodeAt(version, tokens);
        if (node.Children.Count > 0 || node.Idle is not null || node.Running is not null)
        {
            Touch(Below(node));
            Prune(node);
            return null;
        }
        Entry entry = new(version, sequenceId, tokens.Length) { End = node };
        node.Idle = entry;
        entry.Position = _idle.AddLast(entry);
        CountResident(node, 1);
        return entry;
    }

    /// <summary>
    /// Records that a running sequence holds <paramref name="tokens"/>, in cells of its own or shared ones, whatever else holds them. It stays until
    /// <see cref="Remove"/>.
    /// </summary>
    public Entry InsertRunning(AdapterVersion version, ReadOnlySpan<int> tokens, int sequenceId)
    {
        Node node = NodeAt(version, tokens);
        Entry entry = new(version, sequenceId, tokens.Length) { End = node, Next = node.Running };
        node.Running = entry;
        CountResident(node, 1);
        return entry;
    }

    /// <summary>Whether cells hold all of <paramref name="tokens"/>.</summary>
    public bool Holds(AdapterVersion version, ReadOnlySpan<int> tokens)
    {
        if (!_roots.TryGetValue(version, out Node? node))
        {
            return false;
        }
        while (!tokens.IsEmpty)
        {
            if (!node.Children.TryGetValue(tokens[0], out Node? child) || child.Residents == 0)
            {
                return false;
            }
            int common = child.Edge.Span.CommonPrefixLength(tokens);
            if (common < child.Edge.Length && common < tokens.Length)
            {
                return false;
            }
            tokens = tokens[common..];
            node = child;
        }
        return true;
    }

    /// <summary>Notes that an idle entry's KV is in host memory only; returns the sequence id, which is the caller's again.</summary>
    public int Spill(Entry entry)
    {
        int id = entry.SequenceId;
        entry.SequenceId = -1;
        Move(entry, _idle, _spilled);
        CountResident(entry.End, -1);
        return id;
    }

    /// <summary>Notes that a spilled entry's KV is in cells again, under <paramref name="sequenceId"/>.</summary>
    public void Restore(Entry entry, int sequenceId)
    {
        entry.SequenceId = sequenceId;
        Move(entry, _spilled, _idle);
        CountResident(entry.End, 1);
    }

    /// <summary>Takes an entry out; its sequence id and its copy are the caller's again.</summary>
    public void Remove(Entry entry)
    {
        Node node = entry.End;
        if (entry.Position is { } position)
        {
            position.List!.Remove(position);
            entry.Position = null;
            node.Idle = null;
        }
        else if (node.Running == entry)
        {
            node.Running = entry.Next;
        }
        else
        {
            Entry before = node.Running!;
            while (before.Next != entry)
            {
                before = before.Next!;
            }
            before.Next = entry.Next;
        }
        if (entry.IsResident)
        {
            CountResident(node, -1);
        }
        Prune(node);
    }

    /// <summary>An entry without an owner, resident or spilled, that ends on the way to <paramref name="entry"/>: what it holds, that one holds too.</summary>
    public Entry? IdleAncestor(Entry entry)
    {
        for (Node? node = entry.End.Parent; node is not null; node = node.Parent)
        {
            if (node.Idle is { } ancestor)
            {
                return ancestor;
            }
        }
        return null;
    }

    /// <summary>The resident idle entry that was used longest ago, or null.</summary>
    public Entry? Oldest() => _idle.First?.Value;

    /// <summary>The spilled entry that was used longest ago, or null.</summary>
    public Entry? OldestSpilled() => _spilled.First?.Value;

    /// <summary>The resident idle entry with a copy that was used longest ago, or null.</summary>
    public Entry? OldestCopied()
    {
        foreach (Entry entry in _idle)
        {
            if (entry.Copy is not null)
            {
                return entry;
            }
        }
        return null;
    }

    /// <summary>Some entry of a version that no running sequence owns, resident or spilled, or null.</summary>
    public Entry? IdleOf(AdapterVersion version) => Of(_idle, version) ?? Of(_spilled, version);

    private static Entry? Of(LinkedList<Entry> entries, AdapterVersion version)
    {
        foreach (Entry entry in entries)
        {
            if (entry.Version == version)
            {
                return entry;
            }
        }
        return null;
    }

    private static void Touch(Entry? entry)
    {
        if (entry?.Position is { } position)
        {
            Move(entry, position.List!, position.List!);
        }
    }

    private static void Move(Entry entry, LinkedList<Entry> from, LinkedList<Entry> to)
    {
        LinkedListNode<Entry> position = entry.Position!;
        from.Remove(position);
        to.AddLast(position);
    }

    // An entry that ends at the node or below it: a resident one if there is any.
    private static Entry Below(Node node)
    {
        while (true)
        {
            bool resident = node.Residents > 0;
            if (node.Idle is { } idle && idle.IsResident == resident)
            {
                return idle;
            }
            if (node.Running is { } running)
            {
                return running;
            }
            foreach (Node child in node.Children.Values)
            {
                if (child.Residents > 0 == resident)
                {
                    node = child;
                    break;
                }
            }
        }
    }

    private void CountResident(Node end, int change)
    {
        for (Node? node = end; node is not null; node = node.Parent)
        {
            int before = node.Residents;
            node.Residents += change;
            if (before == 0)
            {
                Tokens += node.Edge.Length;
            }
            else if (node.Residents == 0)
            {
                Tokens -= node.Edge.Length;
            }
        }
    }

    // The node at which exactly these tokens end, made where there is none.
    private Node NodeAt(AdapterVersion version, ReadOnlySpan<int> tokens)
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
                return leaf;
            }
            int common = child.Edge.Span.CommonPrefixLength(tokens[at..]);
            at += common;
            node = common == child.Edge.Length ? child : Split(child, common);
        }
        return node;
    }

    private static Node Split(Node child, int at)
    {
        Node parent = child.Parent!;
        Node middle = new() { Edge = child.Edge[..at], Parent = parent, Residents = child.Residents };
        parent.Children[middle.Edge.Span[0]] = middle;
        child.Edge = child.Edge[at..];
        child.Parent = middle;
        middle.Children.Add(child.Edge.Span[0], child);
        return middle;
    }

    // Drops nodes that hold nothing, and joins a node with its only child, so that every leaf and every fork has a reason.
    private void Prune(Node node)
    {
        while (node.Parent is { } parent && node.Idle is null && node.Running is null)
        {
            if (node.Children.Count == 0)
            {
                parent.Children.Remove(node.Edge.Span[0]);
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
