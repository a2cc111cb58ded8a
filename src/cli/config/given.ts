import { partsOfFlag } from '../../config/load.ts';
import type { ConfigInput } from '../../config/schema.ts';
import type { Globals } from '../command.ts';
import type { ServerInput } from './try-out.ts';

/** What the command line has said already. */
export interface Given {
  readonly source: ServerInput | undefined;
  readonly target: ServerInput | undefined;
  readonly queue: ConfigInput['queue'] | undefined;
  /** What nobody is asked for. */
  readonly others: Pick<ConfigInput, 'databases' | 'engine'>;
}

/** @throws ConfigError */
export function givenBy({ source, target, queue, engine, databases: include, exclude }: Globals): Given {
  const patterns = { ...(include ? { include: [...include] } : {}), ...(exclude ? { exclude: [...exclude] } : {}) };
  return {
    source: source === undefined ? undefined : partsOfFlag('source', source),
    target: target === undefined ? undefined : partsOfFlag('target', target),
    queue: queue === undefined ? undefined : { url: queue },
    others: {
      ...(Object.keys(patterns).length === 0 ? {} : { databases: patterns }),
      // Commander has seen to it that it is one of them.
      ...(engine === undefined ? {} : { engine: engine as NonNullable<ConfigInput['engine']> }),
    },
  };
}
