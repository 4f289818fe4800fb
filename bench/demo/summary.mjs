// Tables of the demo's runs in a folder, as Markdown: node summary.mjs FOLDER
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const runs = readdirSync(folder)
  .map(name => /^([a-z]+)-(\d+)\.json$/.exec(name))
  .filter(Boolean)
  .map(([name, variant, seed]) => ({ variant, seed: Number(seed), ...JSON.parse(readFileSync(join(folder, name), "utf8")) }))
  .sort((a, b) => a.seed - b.seed);

const percent = x => (100 * x).toFixed(1);
const mean = xs => xs.reduce((a, b) => a + b, 0) / xs.length;
const spread = xs => (xs.length < 2 ? 0 : Math.sqrt(xs.reduce((a, b) => a + (b - mean(xs)) ** 2, 0) / (xs.length - 1)));

// Share routed up of the requests about what had changed when an update was trained, in the week that it was trained on and in the week after its promotion.
const fall = run => run.claims.effects?.map(e => [e.before, e.after]);

const own = runs.filter(r => r.variant === "none");
console.log("| seed | frozen | continual | frontier | of the frontier | above frozen | routed up | price | forgotten | promoted / refused | routed up of what had changed when an update was trained: then, and in the week after its promotion | seconds |");
console.log("|---|---|---|---|---|---|---|---|---|---|---|---|");
for (const run of own) {
  const c = run.claims;
  console.log(`| ${run.seed} | ${percent(c.frozen)} | ${percent(c.continual)} | ${percent(c.frontier)} | ${percent(c.of_frontier)} % | ${percent(c.above_frozen)} | ${percent(c.routed_up)} % | ${percent(c.price_share)} % | ${percent(c.forgotten)} | ${c.promotions} / ${c.refusals} | ${fall(run)?.map(([a, b]) => `${percent(a)} → ${percent(b)}`).join(", ") ?? "(of an older version)"} | ${run.seconds.toFixed(0)} |`);
}

console.log("\n| without | seeds | continual | of the frontier | routed up | price | forgotten | promoted |");
console.log("|---|---|---|---|---|---|---|---|");
for (const variant of [...new Set(runs.map(r => r.variant))].sort((a, b) => (a === "none" ? -1 : b === "none" ? 1 : a.localeCompare(b)))) {
  const claims = runs.filter(r => r.variant === variant).map(r => r.claims);
  const show = key => `${percent(mean(claims.map(c => c[key])))} ± ${percent(spread(claims.map(c => c[key])))}`;
  console.log(`| ${variant === "none" ? "(nothing left out)" : variant} | ${claims.length} | ${show("continual")} | ${show("of_frontier")} | ${show("routed_up")} | ${show("price_share")} | ${show("forgotten")} | ${mean(claims.map(c => c.promotions)).toFixed(1)} |`);
}
