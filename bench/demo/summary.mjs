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

// Share routed up in the week that an update was trained on and in the week after its promotion, without the requests about what changed later: of all of them, and of those about what had changed.
const shifts = (run, which) => (run.claims.effects ?? []).filter(e => "changed_after" in e).map(e => [e[`${which}before`], e[`${which}after`]]);
const falls = (run, which) => { const all = shifts(run, which); return `${all.filter(([a, b]) => b < a).length} of ${all.length}`; };

const own = runs.filter(r => r.variant === "none");
console.log("| seed | frozen | continual | frontier | of the frontier | above frozen | routed up | price | forgotten | promoted / refused | routed up in the week that an update was trained on, and in the week after its promotion | falls | of what had changed | falls | seconds |");
console.log("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
const arrows = pairs => pairs.map(([a, b]) => `${percent(a)} → ${percent(b)}`).join(", ");
for (const run of own) {
  const c = run.claims;
  console.log(`| ${run.seed} | ${percent(c.frozen)} | ${percent(c.continual)} | ${percent(c.frontier)} | ${percent(c.of_frontier)} % | ${percent(c.above_frozen)} | ${percent(c.routed_up)} % | ${percent(c.price_share)} % | ${percent(c.forgotten)} | ${c.promotions} / ${c.refusals} | ${arrows(shifts(run, ""))} | ${falls(run, "")} | ${arrows(shifts(run, "changed_"))} | ${falls(run, "changed_")} | ${run.seconds.toFixed(0)} |`);
}

// Differences to the run of the same seed with nothing left out.
console.log("\n| without | seeds | continual | of the frontier | routed up | price | forgotten | promoted | continual, difference | forgotten, difference | price, difference |");
console.log("|---|---|---|---|---|---|---|---|---|---|---|");
for (const variant of [...new Set(runs.map(r => r.variant))].sort((a, b) => (a === "none" ? -1 : b === "none" ? 1 : a.localeCompare(b)))) {
  const its = runs.filter(r => r.variant === variant);
  const show = xs => `${percent(mean(xs))} ± ${percent(spread(xs))}`;
  const of = key => show(its.map(r => r.claims[key]));
  const pairs = its.map(r => [r, own.find(o => o.seed === r.seed)]).filter(([, o]) => o);
  const difference = key => (variant === "none" || pairs.length === 0 ? "" : show(pairs.map(([r, o]) => r.claims[key] - o.claims[key])));
  console.log(`| ${variant === "none" ? "(nothing left out)" : variant} | ${its.length} | ${of("continual")} | ${of("of_frontier")} | ${of("routed_up")} | ${of("price_share")} | ${of("forgotten")} | ${mean(its.map(r => r.claims.promotions)).toFixed(1)} | ${difference("continual")} | ${difference("forgotten")} | ${difference("price_share")} |`);
}
