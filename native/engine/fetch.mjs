// Fetches what package-lock.json names into node_modules, once, however many builds ask at the same time.
//
//   node fetch.mjs all PLATFORM  the engine (at least for PLATFORM, say linux-x64) and the Jinja interpreter
//   node fetch.mjs templates     the Jinja interpreter only (the engine comes from CONTINUAL_LLAMA_DIR)
//
// Success: exit 0, node_modules/.stamp-<mode> holds the digest of what was installed.
// Failure: exit 1 and the cause and the way out on standard output; Engine.targets makes it a build error.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(fileURLToPath(import.meta.url));
const [mode, platform] = process.argv.slice(2);
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

function runNpm(directory, extra = []) {
    const args = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", ...extra];
    // npm is a .cmd on Windows, which only a shell starts.
    const npm = spawnSync("npm", args, { cwd: directory, encoding: "utf8", shell: process.platform === "win32" });
    if (npm.error?.code === "ENOENT" || npm.status === 127 || npm.status === 9009) {
        throw new Failure(`npm was not found on PATH. Install Node.js 20 or later with npm, ${wayOut}`);
    }
    if (npm.error) {
        throw new Failure(`npm could not be started (${npm.error.message}). Repair it, ${wayOut}`);
    }
    return { status: npm.status, said: `${npm.stdout}${npm.stderr}` };
}

// Decision: the engines are optional dependencies, so that npm takes only those made for the machine. It then also exits 0,
// silently, when one of them cannot be fetched or fails its hash. So that the cause is known, the missing one is asked
// for once more, on its own and as a must.
function whyDropped(name) {
    const locked = JSON.parse(readFileSync(join(home, "package-lock.json"), "utf8")).packages[`node_modules/${name}`];
    if (locked === undefined) {
        throw new Failure(`${name} is not in native/engine/package-lock.json, ${wayOut}`);
    }
    const { optional, ...must } = locked;
    const probe = mkdtempSync(join(tmpdir(), "engine-probe-"));
    try {
        const root = { name: "engine-probe", version: "0.0.0", dependencies: { [name]: locked.version } };
        const packages = { "": root, [`node_modules/${name}`]: must };
        writeFileSync(join(probe, "package.json"), JSON.stringify(root));
        writeFileSync(join(probe, "package-lock.json"), JSON.stringify({ ...root, lockfileVersion: 3, requires: true, packages }));
        return runNpm(probe);
    } finally {
        rmSync(probe, { recursive: true, force: true });
    }
}

function install() {
    let { status, said } = runNpm(home, mode === "templates" ? ["--omit=optional"] : []);
    if (status === 0 && mode === "all") {
        const name = `@node-llama-cpp/${platform}`;
        if (!existsSync(join(home, "node_modules", name, "package.json"))) {
            ({ status, said } = whyDropped(name));
            if (status === 0) {
                throw new Failure(`npm left out ${name}: it is made for another processor or C library than this machine's (it needs glibc; Alpine's musl does not do). Build on such a machine, ${wayOut}`);
            }
        }
    }
    if (status === 0) {
        return;
    }
    // One line, because a build error is one line; stack frames and usage help nobody.
    const tail = said
        .split(/\r?\n/)
        .filter((line) => /^npm (error|ERR!) \S/.test(line) && !/^npm \S+\s+at |complete log/.test(line))
        .map((line) => line.replace(/^npm \S+ /, ""))
        .slice(0, 6)
        .join("; ")
        .slice(0, 500);
    let cause = `npm ci failed (exit code ${status}): mend what npm complains of`;
    if (/EINTEGRITY|integrity checksum failed|TAR_BAD_ARCHIVE|Z_(DATA|BUF)_ERROR/.test(said)) {
        cause = "A downloaded package does not match its hash in native/engine/package-lock.json: the download is corrupt, or the registry serves something else. Run 'npm cache clean --force' and build again";
    } else if (/ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTCACHED|ERR_SOCKET/.test(said)) {
        cause = "The npm registry cannot be reached and a package is not in npm's cache. Connect once and build again";
    } else if (/EBADPLATFORM/.test(said)) {
        cause = `The package for ${platform} is made for another processor or C library than this machine's (it needs glibc; Alpine's musl does not do). Build on such a machine`;
    } else if (/E404|ETARGET/.test(said)) {
        cause = "The configured npm registry lacks a pinned package. Use one that has it";
    } else if (/EUSAGE/.test(said)) {
        cause = "native/engine/package.json and package-lock.json do not agree. Run 'npm install --package-lock-only' in native/engine";
    }
    throw new Failure(`${cause}, ${wayOut} npm said: ${tail}`);
}

function main() {
    if (mode !== "templates" && !(mode === "all" && /^[a-z0-9-]+$/.test(platform ?? ""))) {
        throw new Failure("usage: node fetch.mjs all PLATFORM | templates");
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
