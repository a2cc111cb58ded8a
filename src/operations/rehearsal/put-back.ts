import type { AnyOperation } from '../../engine/operation.ts';
import { copyDatabasePrivileges } from '../databases/copy-database-privileges.ts';
import { createDeferredTriggers } from '../schema/create-deferred-triggers.ts';
import { copySequences } from '../sequences/copy-sequences.ts';
import { copyUnreplicated } from '../unreplicated/copy-unreplicated.ts';

/**
 * What a rehearsal does on the target as inside an outage, and takes back: operations whose `undo` leaves the target as setup and
 * start have made it. In the order of the cutover.
 */
export const PUT_BACK: readonly AnyOperation[] = [
  copySequences,
  copyUnreplicated,
  createDeferredTriggers,
  copyDatabasePrivileges,
];
