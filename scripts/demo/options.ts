import { parseArgs } from 'node:util';
import type { EngineName } from '../../src/replication/engine.ts';

export interface DemoOptions {
  readonly databases: number;
  readonly engine: EngineName;
  readonly keep: boolean;
  readonly help: boolean;
}

export const HELP = `npm run demo [-- OPTIONS]

Upgrades a real cluster while applications write to it, and proves that nothing was lost.

It starts two PostgreSQL servers of different majors in a folder under /tmp (on loopback, with servers from a private cache),
fills the older one with thirteen databases, lets writers insert, update and delete in all of them, and then does what
you would do: pgconvoy plan, check, fix, check, upgrade, status, approve, uninstall. At the end everything is stopped and removed.
It takes about a minute, two more where the servers have to be fetched first.

  --databases N   how many databases; from the fourteenth on they are alike (default 13, at most 60)
  --engine NAME   native (default, 15 to 18) or pglogical (13 to 18, without what that cannot carry: generated columns,
                  deferrable keys; tables without a key get a key column)
  --keep          leave both clusters up at the end, to look at them, until Ctrl-C
  --help          this text

Servers of your own: PGCONVOY_PG15_BIN=/path/to/bin PGCONVOY_PG18_BIN=… PGCONVOY_REDIS_SERVER=… npm run demo

Exit code 0 only if everything holds that the last table says.`;

/** @throws Error with a sentence about what is wrong with the command line. */
export function readOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      databases: { type: 'string', default: '13' },
      engine: { type: 'string', default: 'native' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const databases = Number(values.databases);
  if (!Number.isInteger(databases) || databases < 1 || databases > 60) {
    throw new Error(`--databases ${values.databases}: a number from 1 to 60`);
  }
  const { engine } = values;
  if (engine !== 'native' && engine !== 'pglogical') throw new Error(`--engine ${engine}: either native or pglogical`);
  return { databases, engine, keep: values.keep, help: values.help };
}
