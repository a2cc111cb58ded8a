import * as z from 'zod';
import type { Settings } from '../../config/schema.ts';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import type { EngineName } from '../../replication/engine.ts';
import { Point } from '../../engine/point.ts';
import { lookAtAll } from './concern.ts';
import type { Concern } from './concern.ts';
import { code, publications } from './database/code.ts';
import { extensions } from './database/extensions.ts';
import { fenceReaders } from './database/fence-readers.ts';
import { locale } from './database/locale.ts';
import { databaseSettings, reservedSchema } from './database/names.ts';
import { foreignNode, pglogicalLimits } from './database/pglogical.ts';
import { replicaIdentity, tableStates } from './database/tables.ts';
import { targetDatabase } from './database/target-database.ts';
import { extensionData, uncarriedRows } from './database/unreplicated.ts';

/** What an engine cannot carry, beside what none can. */
const ENGINES: Readonly<Record<EngineName, readonly Concern[]>> = {
  native: [],
  pglogical: [pglogicalLimits, foreignNode],
};

const concernsFor = (engine: EngineName, { cutover }: Settings, fixFollows: boolean): readonly Concern[] => [
  targetDatabase,
  locale,
  extensions,
  replicaIdentity(fixFollows),
  ...ENGINES[engine],
  tableStates,
  uncarriedRows,
  extensionData,
  code,
  reservedSchema,
  databaseSettings,
  publications,
  ...(cutover.fence === 'read-only' && cutover.readers.length > 0 ? [fenceReaders] : []),
];

/** Everything in one database that could stop its upgrade, or that an operator should know, all at once. */
export const checkDatabase = definePreflight({
  name: 'check-database',
  title: 'Nothing in the database stands in the way',
  scope: 'database',
  input: z.strictObject({
    /** `fix` comes behind it: what that mends is no finding. */
    fixFollows: z.boolean().default(false),
  }),
  output: z.strictObject({ points: z.array(Point) }),

  async check(context) {
    const { points, findings } = await lookAtAll(
      context,
      concernsFor(context.engine.name, context.settings, context.input.fixFollows),
      context.source.name,
    );
    const output = { points: [...points] };
    return findings.length > 0 ? lacks(findings, output) : holds(output);
  },
});
