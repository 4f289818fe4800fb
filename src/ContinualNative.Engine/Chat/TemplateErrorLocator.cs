namespace ContinualNative.Engine.Chat;

/// <summary>Finds the line of a template that keeps it from compiling; the Jinja library itself tells none.</summary>
internal static class TemplateErrorLocator
{
    /// <summary>The 1-based line of the first tag that is wrong by itself or closes nothing, of the last block left open, or null.</summary>
    /// <param name="source">The template.</param>
    /// <param name="check">Compiles a text: null, or what is wrong with it.</param>
    public static int? Locate(string source, Func<string, string?> check)
    {
        Stack<(string Name, int Line)> open = new();
        int line = 1;
        int position = 0;
        while (position < source.Length)
        {
            int start = NextTag(source, position);
            if (start < 0)
            {
                break;
            }

            line += Lines(source.AsSpan(position, start - position));
            int end = TagEnd(source, start);
            if (end < 0)
            {
                return line;
            }

            string tag = source[start..end];
            if (tag[1] == '%')
            {
                string keyword = Keyword(tag);
                if (keyword.StartsWith("end", StringComparison.Ordinal) && keyword is not "endgeneration")
                {
                    if (open.Count == 0 || open.Pop().Name != keyword[3..])
                    {
                        return line;
                    }
                }
                else if (check(Completed(tag, keyword)) is not null)
                {
                    return line;
                }
                else if (keyword is "if" or "for" or "macro" or "call" or "filter" || (keyword == "set" && check(tag) is not null))
                {
                    open.Push((keyword, line));
                }
            }
            else if (tag[1] == '{' && check(tag) is not null)
            {
                return line;
            }

            line += Lines(tag);
            position = end;
        }

        return open.Count > 0 ? open.Peek().Line : null;
    }

    private static int NextTag(string source, int from)
    {
        for (int i = source.IndexOf('{', from); i >= 0 && i + 1 < source.Length; i = source.IndexOf('{', i + 1))
        {
            if (source[i + 1] is '{' or '%' or '#')
            {
                return i;
            }
        }

        return -1;
    }

    private static int TagEnd(string source, int start)
    {
        char kind = source[start + 1];
        if (kind == '#')
        {
            int end = source.IndexOf("#}", start + 2, StringComparison.Ordinal);
            return end < 0 ? -1 : end + 2;
        }

        int depth = 0;
        for (int i = start + 2; i < source.Length; i++)
        {
            char c = source[i];
            if (c is '\'' or '"')
            {
                i++;
                while (i < source.Length && source[i] != c)
                {
                    i += source[i] == '\\' ? 2 : 1;
                }
            }
            else if (kind == '%' ? c == '%' && i + 1 < source.Length && source[i + 1] == '}' : c == '}' && depth == 0 && i + 1 < source.Length && source[i + 1] == '}')
            {
                return i + 2;
            }
            else if (c == '{')
            {
                depth++;
            }
            else if (c == '}')
            {
                depth--;
            }
        }

        return -1;
    }

    private static string Keyword(string tag)
    {
        ReadOnlySpan<char> inside = tag.AsSpan(2).TrimStart("-+").TrimStart();
        int length = 0;
        while (length < inside.Length && (char.IsLetter(inside[length]) || inside[length] == '_'))
        {
            length++;
        }

        return inside[..length].ToString();
    }

    private static string Completed(string tag, string keyword) => keyword switch
    {
        "if" => tag + "{% endif %}",
        "elif" or "else" => "{% if x %}" + tag + "{% endif %}",
        "for" => tag + "{% endfor %}",
        "break" or "continue" => "{% for x in y %}" + tag + "{% endfor %}",
        "macro" => tag + "{% endmacro %}",
        "call" => tag + "{% endcall %}",
        "filter" => tag + "{% endfilter %}",
        "set" when !tag.Contains('=') => tag + "{% endset %}",
        "generation" or "endgeneration" => string.Empty,
        _ => tag,
    };

    private static int Lines(ReadOnlySpan<char> text) => text.Count('\n');
}
