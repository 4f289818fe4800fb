// Real answers of running servers against the schemas of OpenAI's own description of its API.
// node openapi.mjs '{"spec": FILE, "base": URL, "keyed": URL, "hasty": URL, "embedder": URL}'
//   base: a server as it is; keyed: one that requires a key; hasty: one whose requests time out; embedder: one with an embedding model.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { parse } from "yaml";
import { runCases } from "./cases.mjs";

const servers = JSON.parse(process.argv[2]);
const model = "tiny";
const spec = parse(readFileSync(servers.spec, "utf8"), { maxAliasCount: -1 });

// Where the description and OpenAI's own service disagree, the servers do as the service does, which is what its clients were made for.
// Each exception is one field of one schema, may be null only, and must occur here: one that no longer does is taken out.
const exceptions = [
    {
        schema: "/completions chunk", path: /^\/choices\/\d+\/finish_reason$/, used: false,
        why: "the description has one shape for whole and streamed plain completions, and knows no chunk before the last; the service says null there",
    },
    {
        schema: "/completions chunk", path: /^\/usage$/, used: false,
        why: "with include_usage the service says null in all chunks but the last, as the description of stream_options tells in words",
    },
];

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addFormat("unixtime", { type: "number", validate: (v) => Number.isInteger(v) && v > 1_600_000_000 && v < 10_000_000_000 });
ajv.addSchema({ $id: "spec", components: { schemas: withNullable(spec.components.schemas) } });

const ref = (name) => ajv.compile({ $ref: `spec#/components/schemas/${name}` });
const ofPath = (path, method, type = "application/json") => {
    const schema = spec.paths[path][method].responses["200"].content[type].schema;
    return ref(schema.$ref.split("/").at(-1));
};
const schemas = {
    "/chat/completions": ofPath("/chat/completions", "post"),
    "/chat/completions chunk": ofPath("/chat/completions", "post", "text/event-stream"),
    "/completions": ofPath("/completions", "post"),
    // The description has no other shape for these.
    "/completions chunk": ofPath("/completions", "post"),
    "/embeddings": ofPath("/embeddings", "post"),
    "/models": ofPath("/models", "get"),
    "/models/{model}": ofPath("/models/{model}", "get"),
    error: ref("ErrorResponse"),
};

// "nullable" is OpenAPI 3.0's way to say "or null"; version 3.1, in which the description is written, no longer has it, so no validator sees it.
function withNullable(node) {
    if (Array.isArray(node)) {
        return node.map(withNullable);
    }
    if (node === null || typeof node !== "object") {
        return node;
    }
    const copy = Object.fromEntries(Object.entries(node).map(([k, v]) => [k, withNullable(v)]));
    if (copy.nullable === true) {
        delete copy.nullable;
        return { anyOf: [copy, { type: "null" }] };
    }
    return copy;
}

function at(value, path) {
    return path.split("/").slice(1).reduce((v, key) => v?.[key], value);
}

function faults(name, value) {
    const validate = schemas[name];
    if (validate(value)) {
        return [];
    }
    return validate.errors.filter((error) => {
        const known = exceptions.find((e) => e.schema === name && e.path.test(error.instancePath) && at(value, error.instancePath) === null)
            // An anyOf around the excepted value fails with it.
            ?? (error.keyword === "anyOf" || error.keyword === "type" ? exceptions.find((e) => e.schema === name && validate.errors.some((inner) =>
                inner !== error && e.path.test(inner.instancePath) && inner.instancePath.startsWith(`${error.instancePath}/`) && at(value, inner.instancePath) === null)) : undefined);
        if (known) {
            known.used = true;
        }
        return !known;
    });
}

function valid(name, value) {
    const found = faults(name, value);
    assert.equal(found.length, 0, `${name}: ${ajv.errorsText(found)} in ${JSON.stringify(value).slice(0, 1500)}`);
    return value;
}

async function post(path, body, status = 200, { server = servers.base, type = "application/json", headers = {} } = {}) {
    const response = await fetch(`${server}${path}`, { method: "POST", headers: { "content-type": type, ...headers }, body: typeof body === "string" ? body : JSON.stringify(body) });
    const text = await response.text();
    assert.equal(response.status, status, text);
    return JSON.parse(text);
}

async function events(path, body, server = servers.base) {
    const response = await fetch(`${server}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...body, stream: true }) });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type"), /^text\/event-stream/);
    const parts = (await response.text()).split("\n\n");
    assert.equal(parts.pop(), "");
    assert.ok(parts.every((p) => p.startsWith("data: ")));
    return parts.map((p) => p.slice("data: ".length));
}

async function chunks(path, body) {
    const data = await events(path, body);
    assert.equal(data.pop(), "[DONE]");
    return data.map((d) => valid(`${path.slice("v1".length)} chunk`, JSON.parse(d)));
}

const tool = (name) => ({ type: "function", function: { name, parameters: { type: "object", properties: { colour: { enum: ["red", "blue"] } }, required: ["colour"], additionalProperties: false } } });
const chat = { model, messages: [{ role: "user", content: "Hello there" }], max_tokens: 12 };
const forced = { ...chat, max_tokens: 400, tools: [tool("paint")], parallel_tool_calls: false, tool_choice: "required" };
const text = { model, prompt: ["one two", "three"], max_tokens: 6, n: 2, logprobs: 2 };
const usage = { stream_options: { include_usage: true } };

await runCases([
    ["chat: text", async () => valid("/chat/completions", await post("v1/chat/completions", chat))],
    ["chat: tools", async () => {
        const answer = valid("/chat/completions", await post("v1/chat/completions", forced));
        assert.ok(answer.choices[0].message.tool_calls.length > 0);
    }],
    ["chat: n, logprobs", async () => {
        const answer = valid("/chat/completions", await post("v1/chat/completions", { ...chat, n: 3, logprobs: true, top_logprobs: 4 }));
        assert.ok(answer.choices.length === 3 && answer.choices.every((c) => c.logprobs.content.length > 0));
    }],
    ["chat: schema, object, choice, grammar", async () => {
        for (const more of [
            { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "boolean" } } } },
            { response_format: { type: "json_object" } },
            { guided_choice: ["a", "b"] },
            { grammar: 'root ::= "x" [0-9]{2,4}' },
        ]) {
            valid("/chat/completions", await post("v1/chat/completions", { ...chat, ...more }));
        }
    }],
    ["chat stream: text, with and without usage", async () => {
        assert.ok((await chunks("v1/chat/completions", chat)).length > 2);
        const last = (await chunks("v1/chat/completions", { ...chat, ...usage })).at(-1);
        assert.ok(last.choices.length === 0 && last.usage.total_tokens > 0);
    }],
    ["chat stream: tools", async () => {
        const deltas = (await chunks("v1/chat/completions", forced)).flatMap((c) => c.choices).map((c) => c.delta);
        assert.ok(deltas.some((d) => d.tool_calls));
    }],
    ["chat stream: n, logprobs", async () => {
        const choices = (await chunks("v1/chat/completions", { ...chat, ...usage, n: 3, logprobs: true, top_logprobs: 2 })).flatMap((c) => c.choices);
        assert.equal(new Set(choices.map((c) => c.index)).size, 3);
        assert.ok(choices.some((c) => c.logprobs?.content?.length > 0));
    }],
    ["completions", async () => {
        valid("/completions", await post("v1/completions", text));
        valid("/completions", await post("v1/completions", { ...text, echo: true, logprobs: 0 }));
        valid("/completions", await post("v1/completions", { model, prompt: "a b c", max_tokens: 0, echo: true, logprobs: 0 }));
        valid("/completions", await post("v1/completions", { model, prompt: "a" , max_tokens: 3 }));
    }],
    ["completions stream", async () => {
        await chunks("v1/completions", { ...text, ...usage });
        await chunks("v1/completions", { model, prompt: "a", max_tokens: 3 });
    }],
    // Embeddings in base64 are in no schema.
    ["embeddings", async () => {
        valid("/embeddings", await post("v1/embeddings", { model, input: ["a", "b c"] }));
        valid("/embeddings", await post("v1/embeddings", { model: "embedder", input: "a" }, 200, { server: servers.embedder }));
    }],
    ["models", async () => {
        for (const server of [servers.base, servers.embedder]) {
            const list = valid("/models", await (await fetch(`${server}v1/models`)).json());
            for (const { id } of list.data) {
                valid("/models/{model}", await (await fetch(`${server}v1/models/${encodeURIComponent(id)}`)).json());
            }
        }
    }],
    ["errors", async () => {
        for (const [status, path, body, options] of [
            [404, "v1/chat/completions", { ...chat, model: "none" }],
            [400, "v1/chat/completions", { ...chat, temperature: 9 }],
            [400, "v1/chat/completions", { ...chat, nonsense: 1 }],
            [400, "v1/chat/completions", { model }],
            [400, "v1/chat/completions", "{"],
            [400, "v1/completions", { model, prompt: "word ".repeat(2000) }],
            [400, "v1/embeddings", { model, input: [] }],
            [404, "v1/nothing", {}],
            [405, "v1/models", {}],
            [415, "v1/chat/completions", "x", { type: "text/plain" }],
            [413, "v1/chat/completions", `{"x":"${"a".repeat(5 << 20)}"}`],
            [401, "v1/chat/completions", chat, { server: servers.keyed }],
            [401, "v1/chat/completions", chat, { server: servers.keyed, headers: { authorization: "Bearer wrong" } }],
            [504, "v1/completions", { model, prompt: "a", max_tokens: 900, n: 8, ignore_eos: true }, { server: servers.hasty }],
            [400, "v1/chat/completions", { ...chat, model: "embedder" }, { server: servers.embedder }],
        ]) {
            valid("error", await post(path, body, status, options));
        }
        valid("error", await (await fetch(`${servers.base}v1/models/none`)).json());
    }],
    ["an error in a stream", async () => {
        const data = await events("v1/completions", { model, prompt: "a", max_tokens: 900, n: 8, ignore_eos: true }, servers.hasty);
        const { error } = valid("error", JSON.parse(data.at(-1)));
        assert.equal(error.code, "timeout");
    }],
    ["the validator sees faults", async () => {
        const good = await post("v1/chat/completions", { ...chat, logprobs: true });
        for (const spoil of [
            (a) => delete a.id,
            (a) => { a.object = "chat"; },
            (a) => { a.created = "now"; },
            (a) => { a.choices[0].finish_reason = null; },
            (a) => { a.choices[0].message.content = 1; },
            (a) => delete a.choices[0].logprobs,
            (a) => { a.choices[0].logprobs.content[0].bytes = "x"; },
            (a) => { a.usage.total_tokens = 1.5; },
        ]) {
            const bad = structuredClone(good);
            spoil(bad);
            assert.notEqual(faults("/chat/completions", bad).length, 0, spoil.toString());
        }
        assert.notEqual(faults("error", { error: { message: "x", type: "y" } }).length, 0);
    }],
    ["every known exception still occurs", async () => {
        const idle = exceptions.filter((e) => !e.used);
        assert.equal(idle.length, 0, idle.map((e) => `${e.schema} ${e.path}`).join(", "));
    }],
]);
