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
const BooleanValue = samples.set("boolean", true).constructor;
const ObjectValue = samples.set("object", {}).constructor;
const FunctionValue = samples.set("function", () => null).constructor;
const UndefinedValue = samples.set("undefined", undefined).constructor;

// The library's own walks the scopes by recursion and takes any failure on the way, a full stack too, for an unknown name.
Environment.prototype.lookupVariable = function (name) {
    for (let scope = this; scope; scope = scope.parent) {
        const value = scope.variables.get(name);
        if (value !== undefined) {
            return value;
        }
    }
    return new UndefinedValue();
};

// Python's str() and repr(): templates were written for them, the library prints JSON.
function quoted(text) {
    const quote = text.includes("'") && !text.includes("\"") ? "\"" : "'";
    let result = quote;
    for (const c of text) {
        const code = c.charCodeAt(0);
        result += c === quote || c === "\\" ? "\\" + c
            : c === "\n" ? "\\n" : c === "\r" ? "\\r" : c === "\t" ? "\\t"
            : code < 32 || code === 127 ? "\\x" + (code < 16 ? "0" : "") + code.toString(16)
            : c;
    }
    return result + quote;
}

function repr(value) {
    if (value instanceof StringValue) {
        return quoted(value.value);
    }
    if (value instanceof ArrayValue) {
        const items = value.value.map(repr).join(", ");
        return value.type !== "TupleValue" ? "[" + items + "]" : value.value.length === 1 ? "(" + items + ",)" : "(" + items + ")";
    }
    if (value instanceof ObjectValue) {
        return "{" + Array.from(value.value, ([key, item]) => quoted(key) + ": " + repr(item)).join(", ") + "}";
    }
    return str(value);
}

function str(value) {
    return value.type === "NullValue" ? "None" : value.type === "UndefinedValue" ? "" : value.toString();
}

BooleanValue.prototype.toString = function () { return this.value ? "True" : "False"; };
ArrayValue.prototype.toString = function () { return repr(this); };
ObjectValue.prototype.toString = function () { return repr(this); };

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
            return str(value);
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

const silent = new Set(["Set", "Macro", "Comment"]);
const ofText = new Set(["trim", "upper", "lower", "title", "capitalize", "string", "join", "replace", "indent"]);

class HostInterpreter extends Interpreter {
    evaluateBlock(statements, environment) {
        let result = "";
        for (const statement of statements) {
            const value = this.evaluate(statement, environment);
            if (value.type !== "UndefinedValue" && !(value.type === "NullValue" && silent.has(statement.type))) {
                result += str(value);
            }
        }
        return new StringValue(result);
    }

    evaluateBinaryExpression(node, environment) {
        return node.operator.value === "~"
            ? new StringValue(str(this.evaluate(node.left, environment)) + str(this.evaluate(node.right, environment)))
            : super.evaluateBinaryExpression(node, environment);
    }

    applyFilter(operand, filter, environment) {
        if (operand instanceof ArrayValue && (filter.value === "min" || filter.value === "max") && operand.value.length > 0) {
            const sign = filter.value === "min" ? 1 : -1;
            return operand.value.reduce((best, item) => (item.value - best.value) * sign < 0 ? item : best);
        }
        if (operand.type === "UndefinedValue" && ofText.has(filter.value ?? filter.callee?.value)) {
            return new StringValue("");
        }
        if (filter.value === "string") {
            return new StringValue(str(operand));
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
