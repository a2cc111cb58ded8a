import type { Workflow } from '../src/engine/workflow.ts';
import { check } from './check.ts';
import { finish } from './finish.ts';
import { compare } from './compare.ts';
import { fix } from './fix.ts';
import { rehearse } from './rehearse.ts';
import { rollback } from './rollback.ts';
import { setup } from './setup.ts';
import { start } from './start.ts';
import { stop } from './stop.ts';
import { discard, uninstall } from './uninstall.ts';
import { upgrade } from './upgrade.ts';

/** Every workflow by its name. */
export const workflows: Readonly<Record<string, Workflow>> = {
  check,
  compare,
  fix,
  setup,
  start,
  rehearse,
  stop,
  rollback,
  finish,
  uninstall,
  discard,
  upgrade,
};
