import * as z from 'zod';
import type { OperationContext } from '../../../engine/operation.ts';
import { ServerLife, serverLife } from '../../../postgres/catalog/server-life.ts';

/** For so long a proof counts, seconds. */
const FRESH_S = 3_600;

const Proof = z.object({
  /** What both servers were at that time: not started again since, nor configured anew. */
  servers: z.array(z.string()),
  at: z.number(),
});

/** That of an engine in both directions, and of the way forth alone. */
const keysOf = ({ engine }: OperationContext) =>
  [' and back', ''].map((direction) => ({ kind: 'engine-proof', object: `${engine.name}${direction}` }));
const keyOf = (context: OperationContext) => keysOf(context)[context.settings.cutover.reverse ? 0 : 1]!;

/** Whether this engine has been proven between these two servers, a short while ago, and both run as they did. */
export async function provenBefore(context: OperationContext): Promise<boolean> {
  const entry = await context.targetLedger.find(keyOf(context));
  if (!entry) return false;
  const noted = Proof.parse(entry.before);
  const now = await proofNow(context);
  return JSON.stringify(noted.servers) === JSON.stringify(now.servers) && now.at - noted.at < FRESH_S;
}

export const noteProof = async (context: OperationContext): Promise<void> =>
  context.targetLedger.replace(keyOf(context), await proofNow(context));

/** Returns whether there was a proof to forget. */
export async function forgetProof(context: OperationContext): Promise<boolean> {
  let forgotten = false;
  for (const key of keysOf(context)) {
    forgotten = (await context.targetLedger.find(key)) !== undefined || forgotten;
    await context.targetLedger.forget(key);
  }
  return forgotten;
}

async function proofNow({ sourceCluster, targetCluster }: OperationContext): Promise<z.output<typeof Proof>> {
  const servers = await Promise.all(
    [sourceCluster, targetCluster].map(async (cluster) => ({
      ...(await cluster.facts()),
      ...(await cluster.maintenance.one(ServerLife, serverLife())),
    })),
  );
  return {
    servers: servers.map(({ versionNum, systemIdentifier, startedAt, configuredAt }) =>
      [versionNum, systemIdentifier, startedAt, configuredAt].join(' '),
    ),
    at: servers[1]!.now,
  };
}
