import { offers } from '../postgres/versions.ts';
import type { EngineName, ReplicationEngine } from './engine.ts';
import { nativeEngine } from './native.ts';
import { pglogicalEngine } from './pglogical.ts';

const ENGINES: Readonly<Record<EngineName, ReplicationEngine>> = { native: nativeEngine, pglogical: pglogicalEngine };

/** The engine of a configuration; `auto` is native where the source offers it. */
export function engineFor(wanted: 'auto' | EngineName, sourceMajor: number): ReplicationEngine {
  if (wanted !== 'auto') return ENGINES[wanted];
  return ENGINES[offers(sourceMajor, 'publications') ? 'native' : 'pglogical'];
}
