import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { notFenced } from './await-lsn.ts';
import { awaitThese, haveArrived } from './await-these.ts';
import type { Awaiting } from './await-these.ts';
import { contextsOf } from './each-of.ts';
import { lookAtFences } from './fence.ts';
import { openedDatabases } from './opened.ts';

/** What `await-lsn` waits for, in all databases that are switched over together. */
export const awaitLsnTogether = defineOperation({
  name: 'await-lsn-together',
  title: 'The target has every row of the source',
  scope: 'cluster',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ databases: z.int() }),

  async check(context) {
    const { fenced, unfenced } = await fencesOf(context);
    const opened = await openedDatabases(context.targetLedger, context.targetCluster);
    // After the cutover the slot is gone, with all that it was for.
    const open = ({ source }: OperationContext) => opened.has(source.name);
    const waiting = fenced.filter((each) => !open(each.context));
    const missing = unfenced.filter((each) => !open(each.context));
    if (missing.length === 0 && (await haveArrived(waiting))) return holds({ databases: fenced.length });
    return lacks([...missing, ...waiting].map((each) => each.context.source.name));
  },

  /** Where a fence is down, somebody was told that the source takes writes: only who is asked to raises it anew. */
  async apply(context) {
    const { fenced, unfenced } = await fencesOf(context);
    const [first] = unfenced;
    if (first) throw notFenced(first.context, first.missing);
    await awaitThese(fenced);
  },
});

async function fencesOf(context: OperationContext) {
  const contexts = contextsOf(context);
  const looks = await lookAtFences(contexts);
  const fenced: Awaiting[] = [];
  const unfenced: { readonly context: OperationContext; readonly missing: readonly string[] }[] = [];
  for (const each of contexts) {
    const { fence, missing } = looks.get(each.source.name)!;
    if (fence) fenced.push({ context: each, lsn: fence.lsn });
    else unfenced.push({ context: each, missing });
  }
  return { fenced, unfenced };
}
