import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { runFolder } from './run-folder.ts';

/**
 * A program of the tests as one file for node: for processes that are started again and again, each of which would take seconds to load its
 * parts.
 * @param script its path in the tree, like `test/helpers/mortal-worker.ts`
 */
export async function bundled(script: string): Promise<string> {
  const outfile = join(runFolder(), `${basename(script, '.ts')}-${process.pid}.mjs`);
  await build({
    absWorkingDir: join(import.meta.dirname, '..', '..'),
    entryPoints: [script],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['pg-native'],
    // For libraries in CommonJS.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);",
    },
  });
  return outfile;
}
