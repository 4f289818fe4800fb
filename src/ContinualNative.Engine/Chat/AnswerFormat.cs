namespace ContinualNative.Engine.Chat;

/// <summary>What the text of an answer must be.</summary>
public enum AnswerFormat
{
    /// <summary>Anything.</summary>
    Text,

    /// <summary>A JSON object.</summary>
    JsonObject,

    /// <summary>A document that satisfies <see cref="ChatPrompt.Schema"/>.</summary>
    JsonSchema,
}
