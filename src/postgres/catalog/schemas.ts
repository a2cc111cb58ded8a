import { trusted } from '../sql.ts';

/** Names of extensions that a database has without its users asking: an engine makes and removes pglogical where it is needed. */
export const NOT_USERS_EXTENSIONS = trusted("'plpgsql', 'pglogical', 'pglogical_origin'");

/** Names of schemas whose tables and sequences are no users': the system's, ours, and what pglogical keeps for itself. */
export const NOT_USERS = trusted(
  "'pg_catalog', 'information_schema', 'pg_toast', 'pgconvoy', 'pglogical', 'pglogical_origin'",
);
