import type { OperationContext } from '../../engine/operation.ts';
import type { Pair } from '../../replication/engine.ts';
import { replicationConninfo, targetConninfo } from './conninfo.ts';

/** Both ends of the context's database, as the engine needs them. The password is read only when it is needed. */
export const pairOf = (context: OperationContext): Pair => ({
  source: context.source,
  target: context.target,
  sourceCluster: context.sourceCluster,
  targetCluster: context.targetCluster,
  conninfo: () => replicationConninfo(context, context.source.name),
  targetConninfo: () => targetConninfo(context, context.target.name),
  role: context.settings.replication.role,
});
