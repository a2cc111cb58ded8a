import { trusted } from '../sql.ts';

/** Names of schemas whose tables and sequences are no users': the system's, ours, and what pglogical keeps for itself. */
export const NOT_USERS = trusted(
  "'pg_catalog', 'information_schema', 'pg_toast', 'pgconvoy', 'pglogical', 'pglogical_origin'",
);
