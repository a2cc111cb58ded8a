/** The worker as a process of its own: `node workers/worker.js`, and what a command starts where no queue is configured. */
import { loadConfig } from '../src/config/load.ts';
import { errorText, ExitCode, PgconvoyError } from '../src/errors.ts';
import { createLogger } from '../src/log.ts';
import { embeddedWorker } from '../src/runtime/embedded/stay.ts';
import { runWorker } from './run-worker.ts';

const stopping = new AbortController();
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(name, () => stopping.abort());

try {
  const embedded = embeddedWorker(process.env);
  const loaded = embedded?.loaded ?? loadConfig({ env: process.env });
  const log = createLogger(loaded.config.logLevel);
  for (const warning of loaded.warnings) log.warn(warning);
  await runWorker({ loaded, log, signal: stopping.signal, ...(embedded ? { stay: embedded.stay } : {}) });
  // A step that did not stop in time must not keep the process: its job is taken over by another worker.
  process.exit(ExitCode.ok);
} catch (error) {
  createLogger('error').error(errorText(error));
  process.exit(error instanceof PgconvoyError ? error.exitCode : ExitCode.failed);
}
