import * as z from 'zod';

/**
 * One point of a check: what was looked at, also where nothing was found. Whether it is KO or only worth a note follows from its
 * findings, some of which the configuration may accept.
 */
export const Point = z.strictObject({
  /** Stable and unique within its side and database: `wal_level`, `pg_hba.conf`. */
  id: z.string(),
  title: z.string(),
  /** The server it is about, or `here`: the machine of the worker. */
  side: z.enum(['here', 'source', 'target']),
  /** The database, or undefined for the cluster itself. */
  database: z.string().optional(),
  /** What was seen: a value, an address, a version. */
  detail: z.string().optional(),
  /** Of a limit: what it is, what of it others use, what is free and what pgconvoy needs. */
  capacity: z.strictObject({ limit: z.int(), used: z.int(), free: z.int(), needed: z.int() }).optional(),
  /** Nothing was found. */
  ok: z.boolean(),
  /** Codes of what was found; the findings themselves name this point. */
  findings: z.array(z.string()),
});
export type Point = z.output<typeof Point>;
