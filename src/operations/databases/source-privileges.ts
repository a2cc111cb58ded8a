import type { OperationContext } from '../../engine/operation.ts';
import type { DatabasePrivilege } from '../../postgres/catalog/database-definitions.ts';
import { fenceKey } from '../cutover/fence.ts';
import { openedKey, openedOf } from '../cutover/opened.ts';
import { targetDefinitions } from './closed-database.ts';
import { privilegeDifferences, restorePrivileges } from './database-privileges.ts';
import { sourceDefinitions } from './source-definition.ts';

type Context = Pick<OperationContext, 'sourceCluster' | 'sourceLedger' | 'targetCluster' | 'targetLedger'>;

export type MissingPrivilege = { readonly database: string } & (
  | { readonly what: 'database' | 'closed to users' }
  | ({ readonly what: 'missing' | 'surplus' } & DatabasePrivilege)
);

interface SourcePrivileges {
  readonly different: readonly MissingPrivilege[];
  /** The connection limit that each database has once it is open. */
  readonly limits: ReadonlyMap<string, number>;
}

/** What the target's databases lack of the privileges of the source's, and of being closed. What is open belongs to the applications. */
export async function lookAtPrivileges(context: Context, names: readonly string[]): Promise<SourcePrivileges> {
  const found = await targetDefinitions(context, names);
  const notes = await context.targetLedger.entriesOn(names, [openedKey('').kind, fenceKey('').kind]);
  const opened = await openedOf(notes, context.targetCluster);
  // Applications have left it before, so its fence keeps it closed: when that is lowered they are given back (`letIn`).
  const fenced = new Set(notes.filter(({ kind }) => kind === fenceKey('').kind).map(({ database }) => database));
  const ours = names.filter((name) => found.has(name) && !opened.has(name));
  const wanted = ours.length > 0 ? await sourceDefinitions(context, ours) : new Map<string, never>();
  const closed = new Map([...wanted].filter(([name]) => !fenced.has(name)));
  const differences = await privilegeDifferences(context, closed, found, context.sourceCluster);
  const different = names.flatMap((database): MissingPrivilege[] => {
    if (!found.has(database)) return [{ database, what: 'database' }];
    const { missing, surplus, found: there } = differences.get(database) ?? NO_DIFFERENCE;
    return [
      ...missing.map((each) => ({ database, what: 'missing' as const, ...each })),
      ...surplus.map((each) => ({ database, what: 'surplus' as const, ...each })),
      ...(there.connectionLimit === 0 ? [] : [{ database, what: 'closed to users' as const }]),
    ];
  });
  const limits = new Map([...found].map(([name, each]) => [name, (wanted.get(name) ?? each).connectionLimit]));
  return { different, limits };
}

const NO_DIFFERENCE = { missing: [], surplus: [], found: { connectionLimit: 0 } } as const;

/** Closed all the same: `letIn` opens them, once it is decided. */
export async function copyPrivileges(context: Context, missing: readonly MissingPrivilege[]): Promise<void> {
  const names = [...new Set(missing.map(({ database }) => database))];
  const definitions = await sourceDefinitions(context, names);
  const wanted = new Map([...definitions].map(([name, { acl }]) => [name, { acl, connectionLimit: 0 }]));
  await restorePrivileges(context, wanted, context.sourceCluster);
}
