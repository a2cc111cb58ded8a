import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { isAccepted } from '../../engine/finding.ts';
import { listed } from '../../engine/listed.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  SequenceName,
  SequenceValue,
  sequenceValues,
  setSequences,
  userSequences,
} from '../../postgres/catalog/sequences.ts';
import type { Database } from '../../postgres/database.ts';
import { id } from '../../postgres/sql.ts';
import { tableKey } from '../../replication/table-names.ts';
import { openedDatabase } from '../cutover/opened.ts';

/** Sequences read by one statement. */
const AT_ONCE = 200;

interface Missing {
  readonly schema: string;
  readonly name: string;
  readonly source: SequenceValue;
  readonly target: SequenceValue | undefined;
}

/**
 * Every sequence goes on where the source's stopped, to the digit: owned or free, ascending or descending, called or not. To be
 * run behind the fence. Once applications use the target, its sequences are theirs.
 * @see https://www.postgresql.org/docs/current/functions-sequence.html
 */
export const copySequences = defineOperation({
  name: 'copy-sequences',
  title: 'Every sequence goes on where it stopped',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ sequences: z.int() }),

  async check(context) {
    const { source, target, settings } = context;
    const accepted = isAccepted({ code: 'schema-drift', database: source.name }, settings.accept);
    const [wanted, present] = await Promise.all([valuesOf(source), valuesOf(target)]);
    const there = new Map(present.map((value) => [tableKey(value), value]));
    const expected = wanted.filter((value) => !accepted || there.has(tableKey(value)));
    const missing = expected
      .map((value): Missing => {
        const { schema, name } = value;
        return { schema, name, source: value, target: there.get(tableKey(value)) };
      })
      .filter((each) => each.target?.last !== each.source.last || each.target.called !== each.source.called);
    if (missing.length > 0 && !(await openedDatabase(context))) return lacks(missing);
    return holds({ sequences: expected.length });
  },

  async apply({ source, target, log }, missing) {
    const absent = missing.filter((each) => !each.target);
    if (absent[0]) {
      const names = absent.slice(0, 5).map(({ schema, name }) => id(schema, name).text);
      throw new PgconvoyError(
        `${target.side}, database "${target.name}": the sequences ${names.join(', ')}${absent.length > 5 ? ` and ${absent.length - 5} more` : ''} are not there`,
        {
          hint: `The ${source.side} has been altered since \`pgconvoy setup\`: create them on the ${target.side} too, then retry the step.`,
        },
      );
    }
    await target.run(setSequences(missing.map((each) => each.source)));
    log.info({ sequences: missing.length }, 'sequences set');
  },

  changes: (missing, run) => ({
    sequences: missing.length,
    listed: listed(missing, run).map(({ schema, name, source, target }) => ({
      sequence: id(schema, name).text,
      before: target ? positionOf(target) : null,
      after: positionOf(source),
    })),
  }),

  /** Back to their start, as setup has made them. */
  async undo(context: OperationContext) {
    const { target } = context;
    if (await openedDatabase(context)) return false;
    const starts = new Map(
      (await target.many(SequenceName, userSequences())).map((each) => [tableKey(each), each.start]),
    );
    const moved = (await valuesOf(target)).filter(
      (value) => value.called || value.last !== starts.get(tableKey(value)),
    );
    if (moved.length === 0) return false;
    await target.run(
      setSequences(
        moved.map((value) => ({ ...value, last: starts.get(tableKey(value)) ?? value.last, called: false })),
      ),
    );
    return true;
  },
});

const positionOf = ({ last, called }: SequenceValue) => ({ last, called });

async function valuesOf(database: Database): Promise<SequenceValue[]> {
  const sequences = await database.many(SequenceName, userSequences());
  const values: SequenceValue[] = [];
  for (let start = 0; start < sequences.length; start += AT_ONCE) {
    values.push(...(await database.many(SequenceValue, sequenceValues(sequences.slice(start, start + AT_ONCE)))));
  }
  return values;
}
