import { HostRule, hostRules, HbaPath, hbaPath } from './catalog/server.ts';
import type { Database } from './database.ts';
import { parseHba } from './hba-file.ts';
import { id, lit, sql } from './sql.ts';
import * as z from 'zod';

/**
 * The rules of pg_hba.conf as it stands on disk, in order; lines with errors are left out. For superusers.
 * @see https://www.postgresql.org/docs/current/view-pg-hba-file-rules.html
 */
export const readHostRules = (database: Database, offersRules: boolean): Promise<HostRule[]> =>
  offersRules ? database.many(HostRule, hostRules()) : readHbaFile(database);

/** The same from the file itself, as before 10. */
async function readHbaFile(database: Database): Promise<HostRule[]> {
  const { path } = await database.one(HbaPath, hbaPath());
  const files = new Map<string, string>();
  for (;;) {
    // Folders are included from 16 on only, where the server tells its rules.
    const { rules, lacking } = parseHba(path, { files, folders: new Map() });
    if (lacking.files.length === 0) return [...rules];
    for (const file of lacking.files) files.set(file, await readFile(database, file, file === path));
  }
}

const Line = z.object({ line: z.string().nullable() });
class Read extends Error {}

/**
 * A text file of the server's machine, by way of a temporary table that is rolled back: pg_read_file() keeps to the data folder
 * before 11, and pg_hba.conf is often elsewhere. No line holds the two bytes that would end a column, and LATIN1 takes every byte.
 * @see https://www.postgresql.org/docs/current/sql-copy.html
 */
async function readFile(database: Database, path: string, isNeeded: boolean): Promise<string> {
  const table = id('pg_temp', 'pgconvoy_lines');
  let lines: z.output<typeof Line>[] = [];
  try {
    await database.transaction(async () => {
      await database.run(sql`create temporary table ${id('pgconvoy_lines')} (line text) on commit drop`);
      await database.run(
        sql`copy ${table} from ${lit(path)} with (format csv, delimiter E'\\x01', quote E'\\x02', encoding 'LATIN1')`,
      );
      lines = await database.many(Line, sql`select line from ${table} order by ctid`);
      throw new Read();
    });
  } catch (error) {
    // What a file includes may be missing: the server goes on without it too.
    if (!(error instanceof Read) && isNeeded) throw error;
  }
  return Buffer.from(lines.map(({ line }) => line ?? '').join('\n'), 'latin1').toString();
}
