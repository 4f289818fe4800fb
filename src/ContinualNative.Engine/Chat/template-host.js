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

// The library keeps its value types to itself; an environment hands out one of each.
const samples = new Environment();
const StringValue = samples.set("string", "").constructor;
const ArrayValue = samples.set("array", []).constructor;
const NullValue = samples.set("null", null).constructor;
const FunctionValue = samples.set("function", () => null).constructor;

// Methods and filters of Jinja that templates in use call and the library lacks.
function addMethods(type, methods) {
    const original = Object.getOwnPropertyDescriptor(type.prototype, "builtins").get;
    Object.defineProperty(type.prototype, "builtins", {
        get() {
            const known = original.call(this);
            if (!known.has("__extended")) {
                known.set("__extended", null);
                for (const [name, method] of Object.entries(methods)) {
                    if (!known.has(name)) {
                        known.set(name, new FunctionValue((args) => method(this.value, args)));
                    }
                }
            }
            return known;
        },
    });
}

addMethods(StringValue, {
    format(text, args) {
        const named = args.at(-1)?.type === "KeywordArgumentsValue" ? args.at(-1).value : new Map();
        let next = 0;
        return new StringValue(text.replace(/\{\{|\}\}|\{(\w*)\}/g, (match, field) => {
            if (match === "{{" || match === "}}") {
                return match[0];
            }
            const value = field === "" ? args[next++] : /^[0-9]+$/.test(field) ? args[Number(field)] : named.get(field);
            if (value === undefined) {
                throw new Error("format() has no argument for '" + match + "'");
            }
            return value.type === "NullValue" ? "None" : value.toString();
        }));
    },
});

addMethods(ArrayValue, {
    append(values, args) {
        values.push(args[0]);
        return new NullValue(null);
    },
    pop(values, args) {
        const index = args.length === 0 ? values.length - 1 : args[0].value < 0 ? values.length + args[0].value : args[0].value;
        if (!(index >= 0 && index < values.length)) {
            throw new Error("pop index out of range");
        }
        return values.splice(index, 1)[0];
    },
});

class HostInterpreter extends Interpreter {
    applyFilter(operand, filter, environment) {
        if (operand instanceof ArrayValue && (filter.value === "min" || filter.value === "max") && operand.value.length > 0) {
            const sign = filter.value === "min" ? 1 : -1;
            return operand.value.reduce((best, item) => (item.value - best.value) * sign < 0 ? item : best);
        }
        return super.applyFilter(operand, filter, environment);
    }
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
        return new HostInterpreter(environment).run(program).value;
    } catch (error) {
        if (error instanceof Refusal) {
            return { refusal: error.message };
        }
        throw error;
    }
}
