using System.Security.Cryptography;

namespace ContinualNative.Host.Http;

/// <summary>An id for every request, told to the client and written to the log.</summary>
internal static class RequestIds
{
    private static readonly object Key = new();

    public static void Assign(HttpContext http)
    {
        string id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(12));
        http.Items[Key] = id;
        http.Response.Headers["x-continual-request-id"] = id;
        http.Response.Headers["x-request-id"] = id;
    }

    public static string Of(HttpContext http) => (string)http.Items[Key]!;
}
