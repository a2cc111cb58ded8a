import * as z from 'zod';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { openedDatabase, openedOnSource } from '../cutover/opened.ts';
import { pairOf } from '../replication/pair.ts';
import type { CheckFinding } from '../checks/findings.ts';

/** The database was switched over, and its rows travel back: applications can be led back without losing one. */
export const checkWayBack = definePreflight({
  name: 'check-way-back',
  title: 'Rows have been travelling back',
  scope: 'database',
  input: z.strictObject({}),
  output: z.strictObject({ back: z.boolean() }),

  async check(context) {
    if (await openedOnSource(context)) {
      const { enabled } = await context.engine.subscription(pairOf(context));
      return enabled ? holds({ back: false }) : lacks([noWayBack(context)]);
    }
    // It is back already: a run that begins again.
    return (await openedDatabase(context)) ? holds({ back: true }) : lacks([notSwitched(context)]);
  },
});

const notSwitched = ({ source, target }: OperationContext): CheckFinding => ({
  code: 'not-switched-over',
  severity: 'block',
  side: source.side,
  database: source.name,
  message: `Applications do not use the database on the ${source.side}: there is nothing to go back from.`,
  remedy: `A cutover that has not opened it yet is taken back by pgconvoy cancel; else applications are on the ${target.side} already.`,
});

const noWayBack = ({ source, target }: OperationContext): CheckFinding => ({
  code: 'no-way-back',
  severity: 'block',
  side: source.side,
  database: source.name,
  message: `Rows of the ${source.side} have not been travelling back, so the ${target.side} lacks what was written since it was left.`,
  remedy:
    'Where pgconvoy stop has not come to its end, pgconvoy retry its run: it starts the way back. Where it was ended (finish) or switched off (cutover.reverse), there is none.',
});
