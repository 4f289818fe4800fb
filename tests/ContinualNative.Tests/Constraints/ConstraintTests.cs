using System.Diagnostics;
using ContinualNative.Engine;
using ContinualNative.Engine.Constraints;

namespace ContinualNative.Tests.Constraints;

public sealed class ConstraintTests
{
    [Fact]
    public void JsonObject_is_any_object_and_nothing_else()
    {
        string grammar = Constraint.JsonObject();
        Constraint.ValidateGrammar(grammar);
        var recognizer = new GbnfRecognizer(grammar);
        foreach (string yes in new[] { "{}", "{\"a\":1}", "{\"a\": [1, -2.5e3, {\"b\":null}], \"c\":\"\\u00e9\"}" })
        {
            Assert.True(recognizer.Accepts(yes), yes);
        }

        foreach (string no in new[] { "", "[]", "1", "{", "{}}", "{\"a\":}", "{'a':1}", "{\"a\":1,}", " {}", "{}\n" })
        {
            Assert.False(recognizer.Accepts(no), no);
        }
    }

    [Fact]
    public void Choices_match_exactly()
    {
        string[] choices = ["yes", "yes, please", "no", "\"quoted\" \\ [x] ^-", "line\nbreak\ttab\u0001", "é😀", "☃"];
        string grammar = Constraint.Choices(choices);
        Constraint.ValidateGrammar(grammar);
        var recognizer = new GbnfRecognizer(grammar);
        Assert.All(choices, choice => Assert.True(recognizer.Accepts(choice), choice));
        Assert.All(new[] { "", "ye", "yes,", "yes, pleaseno", "NO", "quoted", "é" }, text => Assert.False(recognizer.Accepts(text), text));
    }

    [Fact]
    public void Many_choices_match_exactly()
    {
        var random = new Random(3);
        for (int round = 0; round < 8; round++)
        {
            string Word() => string.Concat(Enumerable.Range(0, random.Next(1, 7)).Select(_ => "ab😀😁\"".EnumerateRunes().ElementAt(random.Next(5)).ToString()));
            HashSet<string> choices = [.. Enumerable.Range(0, 200).Select(_ => Word())];
            string grammar = Constraint.Choices([.. choices]);
            Constraint.ValidateGrammar(grammar);
            var recognizer = new GbnfRecognizer(grammar);
            Assert.All(choices, choice => Assert.True(recognizer.Accepts(choice), choice));
            Assert.All(Enumerable.Range(0, 200).Select(_ => Word()), word => Assert.Equal(choices.Contains(word), recognizer.Accepts(word)));
        }
    }

    [Fact]
    public void Choices_that_make_no_sense_are_refused()
    {
        foreach (string[] choices in new string[][] { [], ["a", ""], ["a", "b", "a"], ["\ud800"], ["a\0b"] })
        {
            EngineException e = Assert.Throws<EngineException>(() => Constraint.Choices(choices));
            Assert.Equal((EngineError.InvalidRequest, "guided_choice"), (e.Error, e.Param));
        }

        Assert.Equal("guided_choice", Assert.Throws<EngineException>(() => Constraint.Choices([.. Enumerable.Range(0, 20_000).Select(i => $"{i}")])).Param);
        Assert.Equal("guided_choice", Assert.Throws<EngineException>(() => Constraint.Choices([new string('x', 300_000)])).Param);
    }

    [Theory]
    [InlineData("root ::= \"a\"")]
    [InlineData("root ::= \"a\" | b\nb ::= [a-z\\]\\-^]+ # note\n")]
    [InlineData("# head\r\nroot ::=\n  a |\n  \"x\"\r\na ::= (\n  \"y\"\n  | [^\\n\\x00-\\x1F\\u00e9\\U0001F600]\n){2,3}\n")]
    [InlineData("root ::= | \"a\"")]
    [InlineData("root ::= \"\"")]
    [InlineData("root ::= a{ 2 , 3 } a * . ? \na ::= [-a] [a-]")]
    [InlineData("root ::= \"[\" (root (\",\" root)*)? \"]\"")]
    [InlineData("root ::= x{0,2000}\nx ::= \"a\" | \"b\"")]
    [InlineData("unused ::= \"a\"\nroot ::= unused \"é☃😀\"")]
    [InlineData("root ::= \"(\" root \")\" | \"x\"")]
    public void Good_grammars_pass(string grammar)
    {
        Constraint.ValidateGrammar(grammar);
        _ = new GbnfRecognizer(grammar.Replace("# note", "", StringComparison.Ordinal).Replace("# head", "", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("", "root")]
    [InlineData("a ::= \"x\"", "root")]
    [InlineData("root ::= b", "line 1, column 10: the rule 'b' is not defined")]
    [InlineData("root ::= \"a\n", "line 1, column 10: the literal")]
    [InlineData("root ::= \"a\"\nb ::= [a", "line 2, column 7: the class")]
    [InlineData("root ::= (\"a\"", "line 1, column 10: the group")]
    [InlineData("root ::= \"a\")", "line 1, column 13: ')'")]
    [InlineData("root = \"a\"", "line 1, column 6: expected '::='")]
    [InlineData("root ::= \"a\" \"\\q\"", "line 1, column 15: unknown escape")]
    [InlineData("root ::= [\\x0g]", "hexadecimal")]
    [InlineData("root ::= \"\\U00110000\"", "U+10FFFF")]
    [InlineData("root ::= \"\\UFFFFFFFF\"", "U+10FFFF")]
    [InlineData("root ::= *", "nothing before it")]
    [InlineData("root ::= \"\"*", "nothing before it")]
    [InlineData("root ::= \"a\"{0}*", "nothing before it")]
    [InlineData("root ::= \"a\"{}", "expected a number")]
    [InlineData("root ::= \"a\"{2", "expected '}'")]
    [InlineData("root ::= \"a\"{3,2}", "below the lower one")]
    [InlineData("root ::= \"a\"{2001}", "2000")]
    [InlineData("root ::= \"a\"{0,2001}", "2000")]
    [InlineData("root ::= \"a\"{99999999999999999999999}", "2000")]
    [InlineData("root ::= \"a\"{100}{100}", "multiply")]
    [InlineData("root ::= (\"a\" b c d){600}\nb ::= \"b\"\nc ::= \"c\"\nd ::= \"d\"", "multiply")]
    [InlineData("root ::= []", "empty")]
    [InlineData("root ::= [^]", "empty")]
    [InlineData("root ::= [z-a]", "out of order")]
    [InlineData("root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: the rule 'root' is defined twice")]
    [InlineData("root ::= <think> \"a\"", "token syntax")]
    [InlineData("root ::= !<[5]>", "token syntax")]
    [InlineData("root ::= root \"a\" | \"b\"", "left recursion")]
    [InlineData("root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a | \"y\"", "left recursion")]
    [InlineData("root ::= a root \"y\" | \"x\"\na ::= b b\nb ::= | \"z\"", "left recursion")]
    [InlineData("root ::= (\"a\"?)*", "left recursion")]
    [InlineData("root ::= \"a\" root", "without end")]
    [InlineData("root ::= a_b", "'_'")]
    [InlineData("root ::= \"a\" & \"b\"", "'&'")]
    [InlineData("root ::= \"\0\"", "U+0000")]
    [InlineData("root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"x\"", "ambiguous")]
    public void Bad_grammars_are_refused(string grammar, string part)
    {
        EngineException e = Assert.Throws<EngineException>(() => Constraint.ValidateGrammar(grammar));
        Assert.Equal((EngineError.InvalidRequest, "grammar"), (e.Error, e.Param));
        Assert.Contains(part, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Half_a_surrogate_pair_is_refused()
    {
        foreach (string grammar in new[] { "root ::= \"\ud800\"", "root ::= [\udc00]", "root ::= \"a\" # \ud800", "root ::= \"\\ud800\"", "root ::= [a\\U0000dfff]" })
        {
            Assert.Contains("surrogate", Assert.Throws<EngineException>(() => Constraint.ValidateGrammar(grammar)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Hostile_sizes_are_refused_in_time()
    {
        string doubling = "root ::= r0\n" + string.Concat(Enumerable.Range(0, 60).Select(i => $"r{i} ::= r{i + 1} \"x\" | r{i + 1} \"y\"\n")) + "r60 ::= \"z\"";
        string chain = "root ::= r0\n" + string.Concat(Enumerable.Range(0, 5000).Select(i => $"r{i} ::= r{i + 1}\n")) + "r5000 ::= \"z\"";
        string[] grammars =
        [
            "root ::= " + new string('(', 30_000),
            "root ::= " + new string('(', 20_000) + "\"a\"" + new string(')', 20_000),
            "root ::= \"" + new string('a', 70_000) + "\"",
            "root ::= \"" + new string('a', 60_000) + "\"{2000}",
            "root ::= " + string.Concat(Enumerable.Repeat("[a]{0,2000}", 5000)),
            doubling,
            chain,
        ];
        foreach (string grammar in grammars)
        {
            long start = Stopwatch.GetTimestamp();
            Assert.Equal("grammar", Assert.Throws<EngineException>(() => Constraint.ValidateGrammar(grammar)).Param);
            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(10));
        }
    }

    [Fact]
    public void Random_text_never_gives_another_exception()
    {
        var random = new Random(5);
        string[] pieces = ["root", " ", "::=", "\"", "a", "[", "]", "^", "-", "(", ")", "|", "*", "+", "?", "{", "}", "2", ",", "\n", "\\", "x", "41", "#", ".", "<", "!", "é", "root ::= ", "\"a\" "];
        int passed = 0;
        for (int i = 0; i < 20_000; i++)
        {
            string grammar = (random.Next(2) == 0 ? "root ::= " : "") + string.Concat(Enumerable.Range(0, random.Next(1, 14)).Select(_ => pieces[random.Next(pieces.Length)]));
            try
            {
                Constraint.ValidateGrammar(grammar);
                passed++;
            }
            catch (EngineException e)
            {
                Assert.Equal("grammar", e.Param);
            }
        }

        Assert.InRange(passed, 100, 19_000);
    }
}
