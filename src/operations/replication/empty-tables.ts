import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { id, join, sql } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';
import { nonEmptyTables } from './non-empty-tables.ts';

/**
 * Before a copy: into a table with rows it would fail on the key, or double the rows where there is none.
 * @throws PgconvoyError where there are rows and pgconvoy did not make the database: somebody may need them
 */
export async function emptyTables(context: OperationContext, tables: readonly TableName[]): Promise<void> {
  const { target, targetLedger, settings, log } = context;
  const filled = await nonEmptyTables(target, tables);
  const [first] = filled;
  if (!first) return;
  if (!(await targetLedger.find({ kind: 'database', database: target.name }))) {
    const name = id(first.schema, first.name).text;
    throw new PgconvoyError(
      `target, database "${target.name}": ${name}${filled.length > 1 ? ` and ${filled.length - 1} more tables` : ''} hold rows, and pgconvoy did not make this database`,
      { hint: `If nobody needs these rows, on the target, in that database: TRUNCATE ${name}; then retry the step.` },
    );
  }
  log.warn({ tables: filled.length }, 'rows of an earlier copy are removed from the target');
  // All in one statement: TRUNCATE refuses a table that a foreign key of another one refers to.
  await target.run(
    sql`truncate only ${join(
      tables.map(({ schema, name }) => id(schema, name)),
      ', only ',
    )}`,
    { lockTimeoutMs: settings.deadlines.lockTimeout },
  );
}
