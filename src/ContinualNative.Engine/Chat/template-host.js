// Runs inside Jint, one copy per engine: compiles one chat template and renders it from JSON. The host sets `hostStrftime` and `hostLimits`.
import { Environment, Interpreter, parse, tokenize } from "jinja";

const { maxString, maxRange } = hostLimits;

// One call of these could ask for gigabytes before the next statement gives the limits a chance to look.
for (const name of ["repeat", "padStart", "padEnd"]) {
    const original = String.prototype[name];
    String.prototype[name] = function (count, ...rest) {
        const length = name === "repeat" ? this.length * count : count;
        if (length > maxString) {
            throw new RangeError("The template asked for a string of " + length + " characters");
        }
        return original.call(this, count, ...rest);
    };
}

class Refusal extends Error { }

function refuse(message) {
    throw new Refusal(message === undefined || message === null ? "" : String(message));
}

function range(start, stop, step = 1) {
    if (stop === undefined || stop === null) {
        stop = start;
        start = 0;
    }
    if (step === 0) {
        throw new Error("range() step must not be zero");
    }
    if ((stop - start) / step > maxRange) {
        throw new RangeError("range() of more than " + maxRange + " elements");
    }
    const result = [];
    for (let i = start; step > 0 ? i < stop : i > stop; i += step) {
        result.push(i);
    }
    return result;
}

const options = { lstrip_blocks: true, trim_blocks: true };
let program = null;

export function compile(source) {
    program = parse(tokenize(source, options));
}

// Whether the text is Jinja by itself: null, or what is wrong with it.
export function check(source) {
    try {
        parse(tokenize(source, options));
        return null;
    } catch (error) {
        return String(error.message);
    }
}

// The text, or { refusal } when the template called raise_exception.
export function render(contextJson) {
    const environment = new Environment();
    environment.set("true", true);
    environment.set("false", false);
    environment.set("none", null);
    environment.set("True", true);
    environment.set("False", false);
    environment.set("None", null);
    environment.set("range", range);
    environment.set("raise_exception", refuse);
    environment.set("strftime_now", hostStrftime);
    const context = JSON.parse(contextJson);
    for (const name of Object.keys(context)) {
        environment.set(name, context[name]);
    }
    try {
        return new Interpreter(environment).run(program).value;
    } catch (error) {
        if (error instanceof Refusal) {
            return { refusal: error.message };
        }
        throw error;
    }
}
