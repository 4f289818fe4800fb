namespace ContinualNative.Host.Http;

/// <summary>A request that ends with an error in OpenAI's shape. The message goes to the client: it names the fault and the way out, never internals.</summary>
internal sealed class ApiException(int status, string type, string? code, string message, string? param = null, int? retryAfterSeconds = null)
    : Exception(message)
{
    private const string InvalidRequest = "invalid_request_error";

    public int Status { get; } = status;

    public string Type { get; } = type;

    public string? Code { get; } = code;

    public string? Param { get; } = param;

    public int? RetryAfterSeconds { get; } = retryAfterSeconds;

    public static ApiException Invalid(string code, string message, string? param = null) => new(400, InvalidRequest, code, message, param);

    public static ApiException BadJson(string message) => Invalid("invalid_json", message);

    public static ApiException WrongType(string param, string expected, string got) =>
        Invalid("invalid_type", $"Invalid type for '{param}': expected {expected}, but got {got} instead.", param);

    public static ApiException WrongValue(string param, string message) => Invalid("invalid_value", message, param);

    public static ApiException Missing(string param) => Invalid("missing_required_parameter", $"Missing required parameter: '{param}'.", param);

    public static ApiException Unknown(string param) => Invalid("unknown_parameter", $"Unknown parameter: '{param}'.", param);

    public static ApiException Unsupported(string param, string message) => Invalid("unsupported_parameter", message, param);

    public static ApiException ModelNotFound(string model) =>
        new(404, InvalidRequest, "model_not_found", $"The model '{model}' does not exist. GET /v1/models lists those that do.", "model");

    public static ApiException NotFound(string message) => new(404, InvalidRequest, "not_found", message);

    public static ApiException Unauthorized(string message) => new(401, InvalidRequest, "invalid_api_key", message);

    public static ApiException Forbidden(string code, string message) => new(403, "permission_error", code, message);

    public static ApiException TooMany(string message, int retryAfterSeconds = 1) => new(429, "rate_limit_error", "rate_limit_exceeded", message, null, retryAfterSeconds);

    public static ApiException Unavailable(string code, string message) => new(503, "server_error", code, message, null, 1);

    public static ApiException TimedOut() => new(504, "server_error", "timeout", "The request took longer than the server allows. Ask for fewer tokens, or try again when it is less busy.");

    public static ApiException Internal() => new(500, "server_error", "internal_error", "The server failed to answer. Its log tells why.");
}
