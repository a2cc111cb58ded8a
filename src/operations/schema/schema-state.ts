import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { forgetBaseline } from '../drift/baseline.ts';

export const SchemaNote = z.object({ complete: z.boolean() });
/** Notes of this kind name the databases whose schema was begun. */
export const schemaKey = (database: string) => ({ kind: 'schema', database });

const key = ({ target }: OperationContext) => schemaKey(target.name);

/**
 * How far the target's schema is by its ledger: `begun` as long as a journal in the database tells what is made, `complete` once
 * indexes and constraints were there too. A database without objects would look finished before anything was done.
 */
export async function schemaState(context: OperationContext): Promise<'nothing' | 'begun' | 'complete'> {
  const entry = await context.targetLedger.find(key(context));
  if (!entry) return 'nothing';
  return SchemaNote.parse(entry.before).complete ? 'complete' : 'begun';
}

export const markBegun = (context: OperationContext): Promise<void> =>
  context.targetLedger.record(key(context), { complete: false });

export const markComplete = (context: OperationContext): Promise<void> =>
  context.targetLedger.replace(key(context), { complete: true });

export async function forgetSchema(context: OperationContext): Promise<void> {
  await forgetBaseline(context);
  await context.targetLedger.forget(key(context));
}
