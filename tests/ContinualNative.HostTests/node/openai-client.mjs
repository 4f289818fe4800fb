// The official OpenAI client for JavaScript against running servers.
// node openai-client.mjs '{"base": URL, "full": URL, "keyed": URL, "key": KEY}'
//   base: a server as it is; full: one with room for one answer and one that waits; keyed: one that requires KEY.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { all, runCases } from "./cases.mjs";

const servers = JSON.parse(process.argv[2]);
const model = "tiny";
const client = connect(servers.base);
const hello = [{ role: "user", content: "Hello there" }];
const greedy = { model, messages: hello, temperature: 0, max_tokens: 12 };
const paint = {
    type: "function",
    function: {
        name: "paint",
        description: "Paints.",
        parameters: { type: "object", properties: { colour: { enum: ["red", "blue"] } }, required: ["colour"], additionalProperties: false },
    },
};
const point = {
    type: "object",
    properties: { x: { type: "integer", minimum: 0, maximum: 99 }, flag: { type: "boolean" }, kind: { enum: ["a", "b"] } },
    required: ["x", "flag", "kind"],
    additionalProperties: false,
};

function connect(url, options = {}) {
    return new OpenAI({ baseURL: `${url}v1`, apiKey: "none", maxRetries: 0, ...options });
}

async function gauge(name) {
    const text = await (await fetch(`${servers.base}metrics`)).text();
    const line = text.split("\n").find((l) => l.startsWith(`${name} `));
    assert.ok(line, `no ${name} in /metrics`);
    return Number(line.split(" ")[1]);
}

async function becomesIdle() {
    const end = Date.now() + 10_000;
    let running, queued, inFlight;
    do {
        [running, queued, inFlight] = [await gauge("continual_running"), await gauge("continual_queue_depth"), await gauge("continual_http_in_flight")];
        if (running === 0 && queued === 0 && inFlight === 0) {
            return;
        }
        await new Promise((resolve) => setTimeout(resolve, 25));
    } while (Date.now() < end);
    assert.fail(`still ${running} running, ${queued} queued, ${inFlight} in flight`);
}

async function failure(promise) {
    try {
        await promise;
    } catch (e) {
        return e;
    }
    assert.fail("the call was expected to fail");
}

const textOf = (chunks, index = 0) => chunks.flatMap((c) => c.choices).filter((c) => c.index === index).map((c) => c.delta.content ?? "").join("");

await runCases([
    ["chat", async () => {
        const answer = await client.chat.completions.create({ ...greedy, messages: [{ role: "system", content: "Be brief." }, ...hello] });
        assert.equal(answer.object, "chat.completion");
        assert.equal(answer.choices[0].message.role, "assistant");
        assert.ok(answer.choices[0].message.content.length > 0);
        assert.ok(["stop", "length"].includes(answer.choices[0].finish_reason));
        assert.equal(answer.usage.prompt_tokens + answer.usage.completion_tokens, answer.usage.total_tokens);
        assert.ok(answer._request_id, "no x-request-id");
    }],
    ["streaming equals not streaming at temperature 0", async () => {
        const whole = await client.chat.completions.create(greedy);
        const chunks = await all(await client.chat.completions.create({ ...greedy, stream: true }));
        assert.equal(textOf(chunks), whole.choices[0].message.content);
        assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
        assert.ok(chunks.every((c) => c.object === "chat.completion.chunk" && c.id === chunks[0].id));
        assert.ok(chunks.every((c) => c.usage === undefined), "usage was not asked for");
    }],
    ["the stream helper collects the same message", async () => {
        const whole = await client.chat.completions.create(greedy);
        const collected = await client.chat.completions.stream(greedy).finalChatCompletion();
        assert.equal(collected.choices[0].message.content, whole.choices[0].message.content);
    }],
    ["include_usage", async () => {
        const whole = await client.chat.completions.create(greedy);
        const chunks = await all(await client.chat.completions.create({ ...greedy, stream: true, stream_options: { include_usage: true } }));
        assert.deepEqual(chunks.at(-1).choices, []);
        assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
        assert.equal(chunks.at(-1).usage.prompt_tokens, whole.usage.prompt_tokens);
        assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
    }],
    ["a forced tool call and its answer", async () => {
        const request = { model, messages: [{ role: "user", content: "Paint it." }], tools: [paint], max_tokens: 200, temperature: 0 };
        const answer = await client.chat.completions.create({ ...request, tool_choice: { type: "function", function: { name: "paint" } } });
        const { message, finish_reason } = answer.choices[0];
        assert.equal(finish_reason, "tool_calls");
        assert.equal(message.content, null);
        assert.equal(message.tool_calls.length, 1);
        assert.equal(message.tool_calls[0].function.name, "paint");
        assert.ok(["red", "blue"].includes(JSON.parse(message.tool_calls[0].function.arguments).colour));
        const after = await client.chat.completions.create({
            ...request, tool_choice: "none", max_tokens: 5,
            messages: [...request.messages, message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: "done" }],
        });
        assert.equal(after.choices[0].message.tool_calls, undefined);
    }],
    ["tool calls streamed in deltas", async () => {
        const request = { model, messages: [{ role: "user", content: "Paint it." }], tools: [paint], tool_choice: "required", parallel_tool_calls: false, max_tokens: 200, temperature: 0 };
        const whole = await client.chat.completions.create(request);
        const chunks = await all(await client.chat.completions.create({ ...request, stream: true }));
        const calls = [];
        for (const delta of chunks.flatMap((c) => c.choices).flatMap((c) => c.delta.tool_calls ?? [])) {
            const call = (calls[delta.index] ??= { id: "", name: "", arguments: "" });
            call.id += delta.id ?? "";
            call.name += delta.function?.name ?? "";
            call.arguments += delta.function?.arguments ?? "";
        }
        assert.equal(calls.length, 1);
        assert.ok(calls[0].id.length > 0);
        assert.equal(calls[0].name, "paint");
        assert.deepEqual(JSON.parse(calls[0].arguments), JSON.parse(whole.choices[0].message.tool_calls[0].function.arguments));
        assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
        const collected = await client.chat.completions.stream(request).finalChatCompletion();
        assert.equal(collected.choices[0].message.tool_calls[0].function.arguments, calls[0].arguments);
    }],
    ["n = 3 with tools, whole and streamed", async () => {
        const request = { model, messages: [{ role: "user", content: "Paint it." }], tools: [paint], tool_choice: "required", parallel_tool_calls: false, max_tokens: 200, n: 3, seed: 5, temperature: 1 };
        const whole = await client.chat.completions.create(request);
        assert.equal(whole.choices.length, 3);
        const chunks = await all(await client.chat.completions.create({ ...request, stream: true }));
        const ids = new Set();
        for (let i = 0; i < 3; i++) {
            assert.equal(whole.choices[i].finish_reason, "tool_calls");
            const deltas = chunks.flatMap((c) => c.choices).filter((c) => c.index === i);
            const calls = deltas.flatMap((c) => c.delta.tool_calls ?? []);
            assert.ok(calls.every((c) => c.index === 0), "one call a choice");
            calls.filter((c) => c.id).forEach((c) => ids.add(c.id));
            assert.ok(["red", "blue"].includes(JSON.parse(calls.map((c) => c.function.arguments).join("")).colour));
            assert.equal(deltas.at(-1).finish_reason, "tool_calls");
        }
        assert.equal(ids.size, 3, "ids of calls are unique over choices");
    }],
    ["a JSON schema, parsed by the client", async () => {
        const response_format = { type: "json_schema", json_schema: { name: "point", strict: true, schema: point } };
        for (const seed of [1, 2, 3]) {
            const answer = await client.chat.completions.parse({ model, messages: hello, max_tokens: 300, seed, response_format });
            assert.equal(answer.choices[0].finish_reason, "stop");
            const value = answer.choices[0].message.parsed ?? JSON.parse(answer.choices[0].message.content);
            assert.deepEqual(Object.keys(value).sort(), ["flag", "kind", "x"]);
            assert.ok(Number.isInteger(value.x) && value.x >= 0 && value.x <= 99);
            assert.ok(typeof value.flag === "boolean" && ["a", "b"].includes(value.kind));
        }
        const chunks = await all(await client.chat.completions.create({ model, messages: hello, max_tokens: 300, stream: true, response_format }));
        assert.ok("kind" in JSON.parse(textOf(chunks)));
    }],
    ["json_object", async () => {
        // A model of random weights seldom closes an object by itself: an answer may be cut, but what is there begins an object.
        let whole = 0;
        for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
            const { choices: [choice] } = await client.chat.completions.create({ model, messages: hello, max_tokens: 300, seed, response_format: { type: "json_object" } });
            if (choice.finish_reason === "stop") {
                whole++;
                const value = JSON.parse(choice.message.content);
                assert.ok(typeof value === "object" && value !== null && !Array.isArray(value));
            } else {
                assert.equal(choice.finish_reason, "length");
                assert.match(choice.message.content, /^\s*\{/);
            }
        }
        assert.ok(whole > 0, "no object was complete");
    }],
    ["embeddings, as floats and in the client's default base64", async () => {
        const floats = await client.embeddings.create({ model, input: ["a b", "c"], encoding_format: "float" });
        const byDefault = await client.embeddings.create({ model, input: ["a b", "c"] });
        assert.deepEqual(floats.data.map((d) => d.index), [0, 1]);
        for (let i = 0; i < 2; i++) {
            const [a, b] = [floats.data[i].embedding, byDefault.data[i].embedding];
            assert.equal(a.length, 256);
            assert.equal(b.length, 256);
            assert.ok(a.every((v, j) => Math.abs(v - b[j]) < 1e-3));
            assert.ok(Math.abs(a.reduce((s, v) => s + v * v, 0) - 1) < 1e-3);
        }
        const raw = await client.embeddings.create({ model, input: "a b", encoding_format: "base64" });
        assert.equal(Buffer.from(raw.data[0].embedding, "base64").length, 256 * 4);
        assert.equal(floats.usage.total_tokens, floats.usage.prompt_tokens);
    }],
    ["models", async () => {
        const models = await all(client.models.list());
        assert.ok(models.some((m) => m.id === model && m.object === "model"));
        assert.equal((await client.models.retrieve(model)).id, model);
        assert.ok((await failure(client.models.retrieve("none"))) instanceof OpenAI.NotFoundError);
    }],
    ["plain completions, whole and streamed", async () => {
        const request = { model, prompt: "one two", max_tokens: 8, temperature: 0 };
        const whole = await client.completions.create(request);
        assert.equal(whole.object, "text_completion");
        const chunks = await all(await client.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }));
        assert.equal(chunks.flatMap((c) => c.choices).map((c) => c.text).join(""), whole.choices[0].text);
        assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
        const two = await client.completions.create({ ...request, prompt: ["one", "two"], echo: true, logprobs: 0 });
        assert.deepEqual(two.choices.map((c) => c.index), [0, 1]);
        assert.ok(two.choices[1].text.startsWith("two"));
        assert.equal(two.choices[0].logprobs.tokens.length, two.choices[0].logprobs.token_logprobs.length);
    }],
    ["n = 3, streamed", async () => {
        const chunks = await all(await client.chat.completions.create({ model, messages: hello, n: 3, seed: 3, temperature: 1.5, max_tokens: 12, stream: true }));
        const texts = [0, 1, 2].map((i) => textOf(chunks, i));
        assert.equal(new Set(texts).size, 3, `equal choices: ${JSON.stringify(texts)}`);
        for (let i = 0; i < 3; i++) {
            const own = chunks.flatMap((c) => c.choices).filter((c) => c.index === i);
            assert.equal(own[0].delta.role, "assistant");
            assert.deepEqual(own.map((c) => c.finish_reason).filter((r) => r !== null).length, 1);
        }
    }],
    ["logprobs", async () => {
        const answer = await client.chat.completions.create({ ...greedy, logprobs: true, top_logprobs: 3 });
        const { content } = answer.choices[0].logprobs;
        assert.ok(content.length > 0);
        for (const token of content) {
            assert.equal(token.top_logprobs.length, 3);
            assert.ok(token.logprob <= 0.0001 && Math.abs(token.logprob - token.top_logprobs[0].logprob) < 1e-4);
        }
        assert.equal(Buffer.from(content.flatMap((t) => t.bytes)).toString("utf8"), answer.choices[0].message.content);
        const chunks = await all(await client.chat.completions.create({ ...greedy, logprobs: true, top_logprobs: 3, stream: true }));
        const streamed = chunks.flatMap((c) => c.choices).flatMap((c) => c.logprobs?.content ?? []);
        assert.deepEqual(streamed.map((t) => t.token), content.map((t) => t.token));
    }],
    ["stop", async () => {
        const whole = (await client.chat.completions.create({ ...greedy, max_tokens: 40 })).choices[0].message.content;
        const from = Math.floor(whole.length / 2);
        const stop = whole.slice(from, from + 3);
        assert.equal(stop.length, 3, `too short an answer to stop: ${JSON.stringify(whole)}`);
        const cut = await client.chat.completions.create({ ...greedy, max_tokens: 40, stop: [stop, "never in any answer"] });
        assert.equal(cut.choices[0].message.content, whole.slice(0, whole.indexOf(stop)));
        assert.equal(cut.choices[0].finish_reason, "stop");
    }],
    ["seed", async () => {
        const request = { model, messages: hello, max_tokens: 16, temperature: 1.5, seed: 11 };
        const text = async (changes = {}) => (await client.chat.completions.create({ ...request, ...changes })).choices[0].message.content;
        // The first computes the prompt, later ones find it in the cache, which holds half floats: compared are two that find it.
        await text();
        const first = await text();
        assert.equal(await text(), first);
        assert.notEqual(await text({ seed: 12 }), first);
    }],
    ["errors", async () => {
        const missing = await failure(client.chat.completions.create({ ...greedy, model: "none" }));
        assert.ok(missing instanceof OpenAI.NotFoundError, missing.constructor.name);
        assert.deepEqual([missing.status, missing.code, missing.param], [404, "model_not_found", "model"]);
        assert.match(missing.message, /none/);
        const wrong = await failure(client.chat.completions.create({ ...greedy, temperature: 3 }));
        assert.ok(wrong instanceof OpenAI.BadRequestError, wrong.constructor.name);
        assert.deepEqual([wrong.status, wrong.type, wrong.param, typeof wrong.code], [400, "invalid_request_error", "temperature", "string"]);
        const unknown = await failure(client.chat.completions.create({ ...greedy, temprature: 1 }));
        assert.ok(unknown instanceof OpenAI.BadRequestError);
        assert.match(unknown.message, /temprature/);
        const streamed = await failure(client.chat.completions.create({ ...greedy, n: 0, stream: true }));
        assert.deepEqual([streamed.status, streamed.param], [400, "n"]);
    }],
    ["an aborted stream frees its sequence", async () => {
        const abort = new AbortController();
        const stream = await client.chat.completions.create({ ...greedy, max_tokens: 450, ignore_eos: true, stream: true }, { signal: abort.signal });
        let chunks = 0;
        try {
            for await (const _ of stream) {
                if (++chunks === 3) {
                    abort.abort();
                }
            }
        } catch (e) {
            assert.ok(e instanceof OpenAI.APIUserAbortError || e.name === "AbortError", String(e));
        }
        assert.ok(chunks >= 3 && chunks < 400, `${chunks} chunks`);
        await becomesIdle();
    }],
    ["a call aborted before its answer frees its sequence", async () => {
        const abort = new AbortController();
        const call = client.chat.completions.create({ ...greedy, max_tokens: 450, ignore_eos: true, n: 4 }, { signal: abort.signal });
        setTimeout(() => abort.abort(), 20);
        assert.ok((await failure(call)) instanceof OpenAI.APIUserAbortError);
        await becomesIdle();
    }],
    ["retries on 429 after the time that Retry-After says", async () => {
        let refused = 0;
        const lastRefusal = new Map();
        const watched = async (url, init) => {
            const now = performance.now();
            const before = lastRefusal.get(init.body);
            if (before) {
                assert.ok(now - before.at >= before.seconds * 1000 - 50, `came back after ${now - before.at} ms, told ${before.seconds} s`);
                lastRefusal.delete(init.body);
            }
            const response = await fetch(url, init);
            if (response.status === 429) {
                refused++;
                const seconds = Number(response.headers.get("retry-after"));
                assert.ok(seconds >= 1, "429 without Retry-After");
                lastRefusal.set(init.body, { at: performance.now(), seconds });
            }
            return response;
        };
        const patient = connect(servers.full, { maxRetries: 30, fetch: watched });
        const answers = await Promise.all(Array.from({ length: 8 }, (_, i) =>
            patient.chat.completions.create({ model, messages: [{ role: "user", content: `Number ${i}` }], max_tokens: 30, ignore_eos: true })));
        assert.ok(answers.every((a) => a.usage.completion_tokens === 30));
        assert.ok(refused > 0, "nothing was refused, so nothing was retried");
        const impatient = connect(servers.full);
        const ends = await Promise.allSettled(Array.from({ length: 12 }, (_, i) =>
            impatient.chat.completions.create({ model, messages: [{ role: "user", content: `Number ${i}` }], max_tokens: 100, ignore_eos: true })));
        const errors = ends.filter((e) => e.status === "rejected").map((e) => e.reason);
        assert.ok(errors.length > 0 && errors.every((e) => e instanceof OpenAI.RateLimitError), errors.map(String).join("; "));
        assert.ok(ends.some((e) => e.status === "fulfilled"));
    }],
    ["a wrong API key", async () => {
        for (const apiKey of ["wrong", `${servers.key.slice(0, -2)}xx`]) {
            const e = await failure(connect(servers.keyed, { apiKey }).chat.completions.create(greedy));
            assert.ok(e instanceof OpenAI.AuthenticationError, e.constructor.name);
            assert.equal(e.status, 401);
            assert.ok(!e.message.includes(apiKey) || apiKey === "wrong", "the key is in the message");
        }
        const answer = await connect(servers.keyed, { apiKey: servers.key }).chat.completions.create(greedy);
        assert.ok(answer.choices[0].message.content.length > 0);
    }],
]);
