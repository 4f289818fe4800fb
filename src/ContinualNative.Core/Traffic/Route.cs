namespace ContinualNative.Core.Traffic;

/// <summary>Which model an answer came from. The numbers are stored.</summary>
public enum Route
{
    /// <summary>The model that this server runs.</summary>
    Local = 0,

    /// <summary>A frontier model behind an API.</summary>
    Frontier = 1,
}

/// <summary>Which route a request or a key asks for.</summary>
public enum RoutePreference
{
    /// <summary>The router decides.</summary>
    Auto = 0,

    /// <summary>Never up.</summary>
    Local = 1,

    /// <summary>Always up.</summary>
    Frontier = 2,
}

/// <summary>Why a request took its route. The numbers are stored.</summary>
public enum RouteReason
{
    /// <summary>The local answer is likely enough to be right.</summary>
    Confident = 0,

    /// <summary>The local answer is not likely enough to be right.</summary>
    Uncertain = 1,

    /// <summary>The request's field <c>route</c>.</summary>
    Requested = 2,

    /// <summary>The policy of the request's key.</summary>
    KeyPolicy = 3,

    /// <summary>No frontier endpoint is configured.</summary>
    NoFrontier = 4,

    /// <summary>The request asks for something that a frontier endpoint cannot do, such as a grammar or several choices.</summary>
    NotPortable = 5,

    /// <summary>It should have gone up, but no endpoint answered: a local answer, marked.</summary>
    FrontierDown = 6,

    /// <summary>It should have gone up, but the budget (spend, or the share routed up) is used up: a local answer, marked.</summary>
    OverBudget = 7,

    /// <summary>There are too few labels to judge by; the configured default route.</summary>
    Uncalibrated = 8,

    /// <summary>The local model failed or gave no usable answer.</summary>
    LocalFailed = 9,
}
