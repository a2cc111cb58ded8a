import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { pairOf } from '../replication/pair.ts';
import { agreeToOpen, undecided } from './agreement.ts';
import { openDecided } from './finish-opening.ts';
import { isClosed } from './let-in.ts';
import { Opened, openedDatabase, openedKey } from './opened.ts';
import { requireReady } from './require-ready.ts';

/**
 * From here on the database belongs to the applications, on the target: that is decided on the source (`agreeToOpen`), then they are let
 * in. The write outage ends; both times are taken from the source's clock. Then replication is off.
 */
export const openTarget = defineOperation({
  name: 'open-target',
  title: 'The target is open',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  /** Whether it was this run that has opened it, in this step or in one of the cluster. */
  output: Opened.extend({ ours: z.boolean() }),

  async check(context) {
    const { source, run } = context;
    const opened = await openedDatabase(context);
    return opened && !(await isClosed(context))
      ? holds({ ...opened, ours: opened.run === run.id })
      : lacks([{ database: source.name }]);
  },

  async apply(context) {
    const { source } = context;
    if ((await undecided(context, [source.name])).length > 0) {
      await requireReady([context]);
      await agreeToOpen(context, [source.name]);
    }
    await openDecided([context]);
  },

  async undo(context: OperationContext) {
    const { engine, source, sourceLedger, targetLedger } = context;
    if (!(await openedDatabase(context))) {
      await sourceLedger.forget(openedKey(source.name));
      return false;
    }
    await targetLedger.record({ kind: 'database', database: source.name }, {});
    await targetLedger.forget(openedKey(source.name));
    await sourceLedger.forget(openedKey(source.name));
    const pair = pairOf(context);
    if ((await engine.subscription(pair)).exists) await engine.enable(pair);
    return true;
  },
});
