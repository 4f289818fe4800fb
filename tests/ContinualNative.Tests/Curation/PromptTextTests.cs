using ContinualNative.Core.Curation;

namespace ContinualNative.Tests.Curation;

public sealed class PromptTextTests
{
    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"Where is  my\nORDER?"}]}""", """{"messages":[{"role":"user","content":[{"type":"text","text":"where is my order"}]}],"temperature":1}""")]
    [InlineData("""{"messages":[{"role":"system","content":"Today is 2026-11-03."},{"role":"user","content":"hi 5"}]}""", """{"messages":[{"role":"developer","content":"today is 2026-12-24"},{"role":"user","content":"Hi 5"}]}""")]
    [InlineData("""{"prompt":"Once upon"}""", """{"prompt":["once UPON "]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null},{"role":"user","content":"b"}]}""", """{"messages":[{"role":"user","content":"A"},{"role":"assistant"},{"role":"user","content":"B"}]}""")]
    public void The_same_prompt_written_differently(string a, string b) => Assert.Equal(PromptText.Read(a)!.Key, PromptText.Read(b)!.Key);

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"a+b"}]}""", """{"messages":[{"role":"user","content":"a-b"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"order 15"}]}""", """{"messages":[{"role":"user","content":"order 16"}]}""")]
    [InlineData("""{"messages":[{"role":"system","content":"x"},{"role":"user","content":"a"}]}""", """{"messages":[{"role":"system","content":"y"},{"role":"user","content":"a"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}""", """{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}""")]
    [InlineData("""{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}""", """{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"g","arguments":"{}"}}]}]}""")]
    public void Different_prompts(string a, string b) => Assert.NotEqual(PromptText.Read(a)!.Key, PromptText.Read(b)!.Key);

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"messages":[]}""")]
    [InlineData("""{"messages":[5]}""")]
    [InlineData("""{"messages":[{"role":"user","content":"\ud800"}]}""")]
    public void No_conversation(string prompt) => Assert.Null(PromptText.Read(prompt));

    [Theory]
    [InlineData("where is my parcel", "where is my parcell", true)]
    [InlineData("where is my parcel", "where is my pracel", true)]
    [InlineData("where is my parcel", "where is my parxel", true)]
    [InlineData("where is my parcel", "where is my parcel please", false)]
    [InlineData("cancel my order", "track my order", false)]
    [InlineData("is it warm or cold", "is it worm or cold", false)]
    [InlineData("about model abcde1", "about model abcde2", false)]
    [InlineData("where is my parcel", "where is my prxcle", false)]
    public void Typing_errors_leave_the_question_the_same(string a, string b, bool same)
    {
        Assert.Equal(same, new PromptText("", a).AsksTheSame(new PromptText("", b)));
        Assert.Equal(same, new PromptText("", b).AsksTheSame(new PromptText("", a)));
        Assert.False(new PromptText("x", a).AsksTheSame(new PromptText("y", b)));
    }
}
