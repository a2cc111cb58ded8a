import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const Greeting = z.object({
  /** Without what a packager has added, e.g. "15.20". */
  version: z.string(),
  user: z.string(),
  superuser: z.boolean(),
  inRecovery: z.boolean(),
  /** Those that accept connections and are no templates. */
  databases: z.number(),
});
export type Greeting = z.output<typeof Greeting>;

/** What a server is and who we are there. One row; any major answers. */
export const greeting = (): Sql => sql`
  select split_part(current_setting('server_version'), ' ', 1) as version, rolname::text as user, rolsuper as superuser,
         pg_is_in_recovery() as "inRecovery",
         (select count(*) from pg_database where datallowconn and not datistemplate)::float8 as databases
    from pg_roles
   where rolname = current_user`;
