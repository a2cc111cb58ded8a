import * as z from 'zod';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import { openedDatabase } from '../cutover/opened.ts';
import type { Finding } from '../../engine/finding.ts';
import { schemaState } from '../schema/schema-state.ts';
import { lookForDrift } from './look.ts';

/**
 * Both sides have the same tables, functions, views, … as when they were last known to correspond: replication carries rows, never what
 * somebody does to their tables. What differs is named, object by object, with what to do about it.
 * @see https://www.postgresql.org/docs/current/logical-replication-restrictions.html
 */
export const checkDrift = definePreflight({
  name: 'check-drift',
  title: 'Nobody has changed the schema on one side alone',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({
    /** Applications use the database on the target already, and change it as they like. */
    opened: z.boolean(),
  }),

  async check(context) {
    if (await openedDatabase(context)) return holds({ opened: true });
    const { findings: changed } = await lookForDrift(context, true);
    const findings =
      (await schemaState(context)) === 'begun' ? [...changed, notFinished(context.source.name)] : changed;
    return findings.length > 0 ? lacks(findings) : holds({ opened: false });
  },
});

const notFinished = (database: string): Finding => ({
  code: 'schema-drift',
  severity: 'block',
  side: 'target',
  database,
  message: 'The target lacks indexes and constraints of the source: pgconvoy start has not finished',
  remedy: 'Run pgconvoy start, wait for its end, then retry the step.',
});
