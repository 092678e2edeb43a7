// Builds the package. Deterministic: the same sources and the same package-lock.json give the same bytes.
//
//   node build.mjs            dist/ (four entries and their types) and ../python/fanwire/browser/fanwire.js, with its form in brotli
//   node build.mjs --check    fails if the committed files are not what the sources give, or are too large
//   node build.mjs --size     prints the size of the core bundle, and fails above a limit
//   node build.mjs --test     build/: each source as a module of its own, with all names, for the tests

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, brotliDecompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

/** Bytes of the core bundle: what it has now and at most 1 % more, so that it does not grow unseen (D-243). */
const LIMITS = { "gzip -9": 18_760, brotli: 17_080 };
const BROWSER = "../python/fanwire/browser/fanwire.js";

/** Names of properties that no application sees: those with _, and the methods of the machine. */
const INTERNAL =
  /^(_.*|isFull|deadline|take|switching|switched|stayed|refused|lost|heard|violated|tick|withdraw|processed|dropped|renewed|renewalFailed)$/;

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const options = {
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  charset: "utf8",
  write: false,
  logLevel: "warning",
};

// Names with _ are private and get short names, anew in each bundle: an entry uses only the public names of another.
async function bundle(entry, external = []) {
  // The checker has no machine: `lost` is a public name there.
  const minified = { minify: true, mangleProps: entry === "checker" ? /^_/ : INTERNAL };
  const result = await build({ ...options, ...minified, entryPoints: [`src/${entry}.ts`], external });
  const { code } = await minify(result.outputFiles[0].text, {
    module: true,
    ecma: 2020,
    compress: { passes: 3, unsafe_arrows: true, hoist_funs: true },
  });
  return code + "\n";
}

function size(text) {
  const sizes = { "gzip -9": gzipSync(text, { level: 9 }).length, brotli: brotliCompressSync(text).length };
  console.log(`core bundle: ${Buffer.byteLength(text)} bytes`);
  for (const [form, limit] of Object.entries(LIMITS)) {
    console.log(`${form}: ${sizes[form]} bytes of at most ${limit}`);
    if (sizes[form] <= limit) continue;
    console.error(`${form}: the core bundle is ${sizes[form] - limit} bytes too large`);
    if (mode) process.exitCode = 1;
  }
}

const mode = process.argv[2];
const banner = `// fanwire ${version}, built from typescript/ by \`npm run build\`\n`;
if (mode === "--test") {
  rmSync("build", { recursive: true, force: true });
  const entryPoints = readdirSync("src", { recursive: true }).filter((name) => name.endsWith(".ts")).map((name) => `src/${name}`);
  await build({
    ...{ bundle: true, splitting: true, packages: "external", entryPoints, outbase: "src", outdir: "build" },
    ...{ format: "esm", target: "es2022", sourcemap: "inline", logLevel: "warning" },
  });
} else {
  const core = banner + (await bundle("index"));
  size(core);
  if (mode === "--check") {
    // Another version of Node may compress otherwise: what counts is what a browser makes of it.
    if ([readFileSync(BROWSER), brotliDecompressSync(readFileSync(`${BROWSER}.br`))].some((file) => file.toString() !== core)) {
      console.error(`${BROWSER} is not what the sources give: run \`npm run build\``);
      process.exitCode = 1;
    }
  } else if (mode !== "--size") {
    rmSync("dist", { recursive: true, force: true });
    mkdirSync("dist");
    mkdirSync("../python/fanwire/browser", { recursive: true });
    writeFileSync(BROWSER, core);
    writeFileSync(`${BROWSER}.br`, brotliCompressSync(core));
    writeFileSync("dist/index.js", core);
    writeFileSync("dist/checker.js", banner + (await bundle("checker")));
    writeFileSync("dist/msgpack.js", banner + (await bundle("msgpack", ["./index.js"])));
    writeFileSync("dist/react.js", banner + (await bundle("react", ["react", "./index.js"])));
    const types = spawnSync("node_modules/.bin/tsc", ["--emitDeclarationOnly"], { stdio: "inherit" });
    process.exitCode ||= types.status ?? 1;
    // Node's own resolution, which TypeScript follows for packages, wants the names of files.
    for (const name of readdirSync("dist", { recursive: true }).filter((name) => name.endsWith(".d.ts"))) {
      const text = readFileSync(`dist/${name}`, "utf8");
      writeFileSync(`dist/${name}`, text.replace(/((?:from|import\() ?"\.{1,2}\/[^"]+)"/g, '$1.js"'));
    }
  }
}
