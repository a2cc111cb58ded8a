import { partsOfFlag } from '../../config/load.ts';
import type { ConfigInput } from '../../config/schema.ts';
import type { Globals } from '../command.ts';
import type { ServerInput } from './try-out.ts';

/** What the command line has said already. */
export interface Given {
  readonly source: ServerInput | undefined;
  readonly target: ServerInput | undefined;
  readonly queue: ConfigInput['queue'] | undefined;
  readonly databases: ConfigInput['databases'] | undefined;
}

/** @throws ConfigError */
export function givenBy({ source, target, queue, databases: include, exclude }: Globals): Given {
  const patterns = { ...(include ? { include: [...include] } : {}), ...(exclude ? { exclude: [...exclude] } : {}) };
  return {
    source: source === undefined ? undefined : partsOfFlag('source', source),
    target: target === undefined ? undefined : partsOfFlag('target', target),
    queue: queue === undefined ? undefined : { url: queue },
    databases: Object.keys(patterns).length === 0 ? undefined : patterns,
  };
}
