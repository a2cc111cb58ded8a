/**
 * npm run build: dist, in few files. Node takes about a millisecond for each file it loads, and every command needs a thousand modules.
 * What only a board needs, and what looks for files beside itself, stays where npm has put it. Types are checked by `npm run types`.
 */
import { cp, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import type { OutputFile } from 'esbuild';

const root = join(import.meta.dirname, '..');
const chunks = join(root, 'dist', 'chunks');
const entries = ['src/cli/main.ts', 'workers/worker.ts'];
const apart = ['@bull-board/*', 'express', 'pino', 'pg-native'];
/** A worker that runs loads parts of an older build when it first needs them. */
const KEPT_MS = 24 * 3_600_000;

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: entries,
  outbase: '.',
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  external: apart,
  // pg makes a Response to see whether it runs at Cloudflare; that loads all of Node's fetch, in every command.
  define: { Response: 'undefined' },
  // For libraries in CommonJS.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);",
  },
  write: false,
});
const isChunk = ({ path }: OutputFile) => dirname(path) === chunks;
// Chunks first, and each at once: whoever starts the program meanwhile finds what it names.
for (const file of [...outputFiles.filter(isChunk), ...outputFiles.filter((each) => !isChunk(each))]) {
  await mkdir(dirname(file.path), { recursive: true });
  const unfinished = `${file.path}.${process.pid}`;
  await writeFile(unfinished, file.contents);
  await rename(unfinished, file.path);
}
// What browsers get goes as it is.
await cp(join(root, 'src/board/pages'), join(root, 'dist/src/board/pages'), { recursive: true });
const current = new Set(outputFiles.map(({ path }) => path));
for (const path of (await readdir(chunks)).map((name) => join(chunks, name))) {
  const { mtimeMs } = await stat(path);
  if (!current.has(path) && Date.now() - mtimeMs > KEPT_MS) await rm(path);
}
