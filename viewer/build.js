/**
 * Bundles the page into `viewer/static/dist/`; with `--tests` also the tests into `build/viewer-tests/`.
 *
 * Nothing is fetched: every byte comes from `viewer/src` and `node_modules`.
 */
import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "viewer", "static", "dist");

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await build({
  entryPoints: {
    main: join(root, "viewer", "src", "main.ts"),
    turns: join(root, "viewer", "src", "turnsWorker.ts"),
  },
  outdir: dist,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
});
// OpenSeadragon's BSD licence asks that its text travels with the bundle.
await copyFile(join(root, "node_modules", "openseadragon", "LICENSE.txt"), join(dist, "openseadragon-LICENSE.txt"));

if (process.argv.includes("--tests")) {
  const from = join(root, "tests", "viewer");
  const to = join(root, "build", "viewer-tests");
  await rm(to, { recursive: true, force: true });
  await build({
    entryPoints: (await readdir(from))
      .filter((name) => name.endsWith(".test.ts") || ["screenshots.ts", "film.ts"].includes(name))
      .map((name) => join(from, name)),
    outdir: to,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
  });
}
