import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { PglogicalServer, pglogicalServer } from '../../postgres/catalog/pglogical.ts';
import { Setting, settingsNamed } from '../../postgres/catalog/settings.ts';
import type { BoundCluster, Side } from '../../postgres/cluster.ts';
import { sql } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import type { SubscriptionState } from '../../replication/engine.ts';
import { judgeSourceSettings } from '../checks/clusters/source-settings.ts';
import { judgePglogical } from '../checks/clusters/pglogical.ts';
import { findingsIn } from '../checks/concern.ts';
import { lastWords } from './apply-errors.ts';
import type { Trouble } from './copy-trouble.ts';

/** Why pglogical's workers do not come on: they too tell it to the server's log alone. */
export async function pglogicalTrouble(
  context: OperationContext,
  subscription: SubscriptionState,
): Promise<Trouble | undefined> {
  const { source, sourceCluster, targetCluster, engine } = context;
  const plugins = await source.many(Setting, settingsNamed(['output_plugin_libraries']));
  const [finding] = [
    ...judgeSourceSettings(plugins, engine.outputPlugin),
    ...(await serverFindings('source', sourceCluster)),
    ...(await serverFindings('target', targetCluster)),
  ];
  if (finding) return { lasting: true, message: finding.message, hint: `${finding.remedy} Then retry the step.` };
  if (subscription.running) return undefined;
  const noRoom =
    (await workersTrouble('source', sourceCluster, source.name)) ??
    (await workersTrouble('target', targetCluster, source.name)) ??
    (await originsTrouble(targetCluster, source.name));
  if (noRoom) return noRoom;
  const { said, unread } = await lastWords(context);
  return {
    lasting: subscription.broken === true,
    message: `target, database "${source.name}": ${subscription.broken ? "pglogical's copy has failed" : "pglogical's worker does not stay up"}${said}`,
    hint: said
      ? 'Mend what it has said, then retry the step.'
      : `The reason is in the target server's log${unread}: look there for \`pglogical apply\`. Mend it, then retry the step.`,
  };
}

const serverFindings = async (side: Side, cluster: BoundCluster) =>
  findingsIn(
    judgePglogical(
      side,
      (await cluster.facts()).major,
      await cluster.maintenance.one(PglogicalServer, pglogicalServer()),
    ),
  );

const Use = z.object({ used: z.number(), most: z.number() });

/** Before 10 background workers are not all listed: then nobody knows. */
async function workersTrouble(side: Side, cluster: BoundCluster, database: string): Promise<Trouble | undefined> {
  if (!offers((await cluster.facts()).major, 'backendType')) return undefined;
  const { used, most } = await cluster.maintenance.one(
    Use,
    sql`select count(*) filter (where backend_type like 'pglogical %' or backend_type like 'logical replication %'
                                   or backend_type in ('background worker', 'parallel worker'))::int as used,
               current_setting('max_worker_processes')::int as most
          from pg_stat_activity`,
  );
  return used < most ? undefined : full(side, 'max_worker_processes', most, database);
}

/** @see https://www.postgresql.org/docs/current/view-pg-replication-origin-status.html */
async function originsTrouble(cluster: BoundCluster, database: string): Promise<Trouble | undefined> {
  const setting = offers((await cluster.facts()).major, 'activeReplicationOrigins')
    ? 'max_active_replication_origins'
    : 'max_replication_slots';
  const { used, most } = await cluster.maintenance.one(
    Use,
    sql`select count(*)::int as used, current_setting(${setting})::int as most from pg_replication_origin_status`,
  );
  return used < most ? undefined : full('target', setting, most, database);
}

const full = (side: Side, setting: string, most: number, database: string): Trouble => ({
  lasting: false,
  message: `database "${database}": the ${side} has no room left: all ${most} of ${setting} are in use`,
  hint: `Raise ${setting} on the ${side} (needs a restart), or take fewer databases at a time; then retry the step.`,
});
