// Runs named cases one after the other and tells of each in one line of JSON, which the C# test reads.

/** @param {[name: string, run: () => Promise<void>][]} cases */
export async function runCases(cases) {
    let failed = 0;
    for (const [name, run] of cases) {
        const start = performance.now();
        let error = null;
        try {
            // A case that hangs fails by name instead of taking the others with it.
            await withTimeout(run(), 60_000);
        } catch (e) {
            failed++;
            error = e?.stack ?? String(e);
        }
        console.log(JSON.stringify({ case: name, ok: error === null, milliseconds: Math.round(performance.now() - start), error }));
    }
    // Connections kept alive would keep the process alive.
    process.exit(failed === 0 ? 0 : 1);
}

function withTimeout(promise, milliseconds) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no end after ${milliseconds} ms`)), milliseconds);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Everything that an async iterable gives. */
export async function all(iterable) {
    const items = [];
    for await (const item of iterable) {
        items.push(item);
    }
    return items;
}
