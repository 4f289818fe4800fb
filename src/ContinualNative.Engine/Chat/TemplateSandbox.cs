using System.Diagnostics.CodeAnalysis;
using Jint;
using Jint.Native;
using Jint.Native.Object;
using Jint.Runtime;
using Jint.Runtime.Interop;
using JintEngine = Jint.Engine;

namespace ContinualNative.Engine.Chat;

/// <summary>One Jint engine with one template compiled in it. Not thread-safe.</summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "Disposing a Jint engine only drops interop caches, and nothing is shared here.")]
internal sealed class TemplateSandbox
{
    private const int MaxString = 16 << 20;
    private const int MaxRange = 1 << 20;

    // Parsing the library takes longer than anything else here; the result is immutable and shared by all engines.
    private static readonly Lazy<Prepared<Acornima.Ast.Module>> Library = new(() => JintEngine.PrepareModule(Resource("jinja.js"), "jinja"));
    private static readonly Lazy<Prepared<Acornima.Ast.Module>> Host = new(() => JintEngine.PrepareModule(Resource("template-host.js"), "host"));

    private readonly JintEngine _engine;
    private readonly RenderLimits _limits = new();
    private readonly ChatTemplateOptions _options;
    private readonly JsValue _check;
    private readonly JsValue _render;

    /// <summary>Compiles <paramref name="source"/>; throws <see cref="EngineException"/> (BadFile) when it is not valid Jinja.</summary>
    public TemplateSandbox(string source, ChatTemplateOptions options)
    {
        _options = options;
        _engine = new JintEngine(o =>
        {
            o.Strict();
            o.Constraint(_limits);
            o.Constraints.StackOverflowGuard = true;
            o.Constraints.RegexTimeout = options.Timeout;
            o.Constraints.MaxArraySize = (uint)MaxString;
            o.Json.MaxParseDepth = 256;
            o.Interop.AllowGetType = false;
            o.Interop.AllowWrite = false;
            o.DisableStringCompilation();
        });
        JsObject limits = new(_engine);
        limits.Set("maxString", MaxString);
        limits.Set("maxRange", MaxRange);
        _engine.SetValue("hostLimits", limits);
        _engine.SetValue("hostStrftime", new ClrFunction(_engine, "strftime_now", (_, arguments) =>
            PythonDate.Format(_options.TimeProvider.GetLocalNow(), arguments.Length > 0 && arguments[0].IsString() ? arguments[0].AsString() : "%c")));
        _engine.Modules.Add("jinja", builder => builder.AddModule(Library.Value));
        _engine.Modules.Add("host", builder => builder.AddModule(Host.Value));
        ObjectInstance host = _engine.Modules.Import("host");
        _check = host.Get("check");
        _render = host.Get("render");
        try
        {
            Guarded(host.Get("compile"), source);
        }
        catch (JavaScriptException e) when (!IsStackOverflow(e))
        {
            string place = TemplateErrorLocator.Locate(source, Check) is { } line ? $" at or after line {line}" : string.Empty;
            throw new EngineException(EngineError.BadFile, $"The chat template is not valid Jinja{place}: {e.Message}. Give a corrected template, or a model file that holds one.", inner: e);
        }
        catch (Exception e) when (IsLimit(e))
        {
            throw OverLimit(e, "compiled");
        }
    }

    /// <summary>
    /// The template's text for a context given as JSON. Throws <see cref="EngineException"/>: InvalidRequest when the template refuses or
    /// fails, BadFile when it goes over a limit; then the sandbox must not be used again.
    /// </summary>
    public string Render(string contextJson)
    {
        try
        {
            JsValue result = Guarded(_render, contextJson);
            if (result.IsString())
            {
                string text = result.AsString();
                if (text.Length > _options.OutputLimit + 64L * contextJson.Length)
                {
                    throw new RenderLimitException($"it gave {text.Length} characters");
                }

                return text;
            }

            string refusal = result.AsObject().Get("refusal").AsString();
            throw new EngineException(EngineError.InvalidRequest, refusal.Length == 0 ? "The model's chat template refuses these messages." : refusal, "messages");
        }
        catch (JavaScriptException e) when (!IsStackOverflow(e))
        {
            throw new EngineException(EngineError.InvalidRequest, $"The model's chat template fails on these messages: {e.Message}", "messages", e);
        }
        catch (Exception e) when (IsLimit(e))
        {
            throw OverLimit(e, "rendered");
        }
    }

    private string? Check(string source)
    {
        JsValue result = Guarded(_check, source);
        return result.IsNull() ? null : result.AsString();
    }

    private JsValue Guarded(JsValue function, string argument)
    {
        _limits.Arm(_options.StepLimit + 512L * argument.Length, _options.Timeout, _options.MemoryLimit + 512L * argument.Length);
        return _engine.Invoke(function, argument);
    }

    private static EngineException OverLimit(Exception e, string done) => new(
        EngineError.BadFile,
        $"The chat template was stopped while it was {done}: {(e is RenderLimitException ? e.Message : "it nests too deeply or asks for too much at once")}. Send fewer or shorter messages, or use another template.",
        inner: e);

    private static bool IsLimit(Exception e) => e is RenderLimitException or JavaScriptException or JintException or OutOfMemoryException
        or InsufficientExecutionStackException or System.Text.RegularExpressions.RegexMatchTimeoutException or TimeoutException or OverflowException;

    private static bool IsStackOverflow(JavaScriptException e) =>
        e.Error is ObjectInstance error && error.Get("name").ToString() == "RangeError";

    private static string Resource(string name)
    {
        using Stream stream = typeof(TemplateSandbox).Assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"{name} is not in this build of ContinualNative.Engine: build it again after `npm ci` in native/engine.");
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }
}
