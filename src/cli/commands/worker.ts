import type { Command } from 'commander';
import { runWorker } from '../../../workers/run-worker.ts';
import { Config } from '../../config/schema.ts';
import { ConfigError, ExitCode } from '../../errors.ts';
import { createLogger } from '../../log.ts';
import { namesQueue } from '../../runtime/embedded/ensure.ts';
import { action, command } from '../command.ts';
import { configOf } from '../servers.ts';

export const worker = (): Command =>
  command({
    name: 'worker',
    summary: 'work on the runs of this queue until stopped',
    description:
      'Takes steps of all runs of the configured queue until SIGTERM or Ctrl-C; what it has in work then is handed over. ' +
      'Start it on as many machines as you like, each with the same configuration. Logs JSON lines to stderr.',
    examples: [
      ['pgconvoy worker', 'in the foreground, as a service manager wants it'],
      ['pgconvoy worker --log-level debug', 'with more to read'],
    ],
  }).action(
    action(async (invocation) => {
      const loaded = await configOf(invocation);
      if (!namesQueue(loaded)) {
        throw new ConfigError('a worker of its own needs a queue that others can reach, and none is configured', {
          hint: 'Set queue.url or give --queue. Without a queue every command starts the worker of this machine by itself.',
        });
      }
      const stopping = new AbortController();
      for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(name, () => stopping.abort());
      const level = Config.shape.logLevel.parse(invocation.globals.logLevel ?? loaded.config.logLevel);
      await runWorker({ loaded, log: createLogger(level), signal: stopping.signal });
      // A step that did not stop in time must not keep the process: another worker takes its job over.
      process.exit(ExitCode.ok);
    }),
  );
