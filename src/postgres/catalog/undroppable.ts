import * as z from 'zod';
import { lit, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const DropHangs = z.object({ hangs: z.boolean() });

/**
 * Whether DROP DATABASE would wait for ever on this server: since 15 it waits for every process to pass a barrier, which the
 * supervisor of pglogical before 2.4.6 never does.
 * @see https://github.com/2ndQuadrant/pglogical/issues/427
 */
export const dropHangs = (): Sql => sql`
  select case
           when current_setting('server_version_num')::int < 150000
             or current_setting('shared_preload_libraries') !~ ${lit('\\mpglogical\\M')} then false
           else coalesce((select string_to_array(substring(default_version from ${lit('^[0-9.]+')}), '.')::int[] < array[2, 4, 6]
                            from pg_available_extensions where name = 'pglogical'), true)
         end as hangs`;
