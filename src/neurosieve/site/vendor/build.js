// Makes vega.min.js, LICENSES and SHA256SUMS of this folder from the packages of package-lock.json: `npm run build`.
// Deterministic: the versions are pinned, esbuild's output depends on its input alone, and no name of a folder or time
// is written. A build writes the same bytes again, which SHA256SUMS and tests/unit/test_site_charts.py assert.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const found = await build({
  entryPoints: ["entry.js"],
  outfile: "vega.min.js",
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "neurosieveVega",
  target: "es2021",
  charset: "ascii",
  legalComments: "none", // they stand in LICENSES, once for each package
  alias: { vega: "vega-util" }, // vega-lite takes four small functions of it, which vega-util has
  metafile: true,
  write: false,
});

const folder = (path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1];
const inputs = Object.entries(Object.values(found.metafile.outputs)[0].inputs);
const names = new Set(inputs.filter(([path, { bytesInOutput }]) => bytesInOutput && folder(path)).map(([p]) => folder(p)));
const parts = [...names].sort().map((name) => {
  const home = `node_modules/${name}`;
  const { version, license } = JSON.parse(readFileSync(`${home}/package.json`, "utf8"));
  const file = readdirSync(home).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} ${version}: no licence file in the package`);
  return { title: `${name} ${version} (${license})`, text: readFileSync(`${home}/${file}`, "utf8").trim() };
});

const written = {
  LICENSES: parts.map(({ title, text }) => `${title}\n${"-".repeat(title.length)}\n\n${text}\n`).join("\n\n"),
  "vega.min.js": found.outputFiles[0].text,
};
for (const [name, text] of Object.entries(written)) {
  const before = existsSync(name) ? readFileSync(name, "utf8") : null;
  writeFileSync(name, text);
  console.log(`${name}: ${before === null ? "new" : before === text ? "the same bytes" : "changed"}`);
}
const sum = (text) => createHash("sha256").update(text).digest("hex");
writeFileSync("SHA256SUMS", Object.keys(written).map((name) => `${sum(written[name])}  ${name}\n`).join(""));
