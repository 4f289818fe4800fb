// Fetches what package-lock.json names into node_modules, once, however many builds ask at the same time.
//
//   node fetch.mjs all        the engine and the Jinja interpreter
//   node fetch.mjs templates  the Jinja interpreter only (the engine comes from CONTINUAL_LLAMA_DIR)
//
// Success: exit 0, node_modules/.stamp-<mode> holds the digest of what was installed.
// Failure: exit 1 and the cause and the way out on standard output; Engine.targets makes it a build error.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(fileURLToPath(import.meta.url));
const mode = process.argv[2];
const lock = join(home, ".fetch-lock");
const staleLockMs = 10 * 60 * 1000;
const wayOut =
    mode === "all"
        ? "or set CONTINUAL_LLAMA_DIR to a folder that holds llama.cpp of the pinned version (and CONTINUAL_JINJA_DIR to an unpacked @huggingface/jinja, where npm cannot be used at all)."
        : "or set CONTINUAL_JINJA_DIR to an unpacked @huggingface/jinja of the version in native/engine/package.json.";

class Failure extends Error {}

function digest() {
    const hash = createHash("sha256");
    for (const name of ["package.json", "package-lock.json"]) {
        hash.update(readFileSync(join(home, name)));
    }
    return hash.digest("hex");
}

const stampPath = (which) => join(home, "node_modules", `.stamp-${which}`);

function isCurrent(which, wanted) {
    return existsSync(stampPath(which)) && readFileSync(stampPath(which), "utf8") === wanted;
}

function sleep(milliseconds) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

// mkdir is atomic on every file system that a build may run on. A lock whose owner was killed is taken over.
function takeLock() {
    for (;;) {
        try {
            mkdirSync(lock);
            return;
        } catch (error) {
            if (error.code !== "EEXIST") {
                throw new Failure(`${home} cannot be written (${error.code}): the build fetches the engine into it.`);
            }
        }
        let age;
        try {
            age = Date.now() - statSync(lock).mtimeMs;
        } catch {
            continue; // Released between the two calls.
        }
        if (age > staleLockMs) {
            rmSync(lock, { recursive: true, force: true });
        } else {
            sleep(100);
        }
    }
}

function install() {
    const args = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
    if (mode === "templates") {
        args.push("--omit=optional");
    }
    // npm is a .cmd on Windows, which only a shell starts.
    const npm = spawnSync("npm", args, { cwd: home, encoding: "utf8", shell: process.platform === "win32" });
    if (npm.error?.code === "ENOENT" || npm.status === 127 || npm.status === 9009) {
        throw new Failure(`npm was not found on PATH. Install Node.js 20 or later with npm, ${wayOut}`);
    }
    if (npm.error) {
        throw new Failure(`npm could not be started (${npm.error.message}). Repair it, ${wayOut}`);
    }
    if (npm.status === 0) {
        return;
    }
    const said = `${npm.stdout}${npm.stderr}`;
    const tail = said.split(/\r?\n/).filter((line) => /^npm (error|ERR!)/.test(line)).slice(0, 8).join("\n");
    let cause = `npm ci failed (exit code ${npm.status}). See what npm said below`;
    if (/EINTEGRITY|sha512|TAR_|Z_(DATA|BUF)_ERROR/.test(said)) {
        cause = "A downloaded package does not match the hash in native/engine/package-lock.json: the download is corrupt, or the registry serves something else. Run 'npm cache clean --force' and build again";
    } else if (/ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTCACHED|ERR_SOCKET|network/.test(said)) {
        cause = "The npm registry cannot be reached and the packages are not in npm's cache. Connect once and build again";
    } else if (/E404|ETARGET/.test(said)) {
        cause = "The configured npm registry lacks a pinned package. Use one that has it";
    } else if (/EUSAGE/.test(said)) {
        cause = "native/engine/package.json and package-lock.json do not agree. Run 'npm install --package-lock-only' in native/engine";
    }
    throw new Failure(`${cause}, ${wayOut}\n${tail}`);
}

function main() {
    if (mode !== "all" && mode !== "templates") {
        throw new Failure("usage: node fetch.mjs all|templates");
    }
    takeLock();
    try {
        const wanted = digest();
        if (isCurrent(mode, wanted)) {
            // Another build got here first, or a checkout touched the files without changing them.
            const now = new Date();
            utimesSync(stampPath(mode), now, now);
            return;
        }
        install();
        writeFileSync(stampPath("templates"), wanted);
        if (mode === "all") {
            writeFileSync(stampPath("all"), wanted);
        }
    } finally {
        rmSync(lock, { recursive: true, force: true });
    }
}

try {
    main();
} catch (error) {
    console.log(error instanceof Failure ? error.message : `${error.stack}`);
    process.exitCode = 1;
}
