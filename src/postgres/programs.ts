import type { Cluster } from './cluster.ts';

export interface ProgramVersion {
  /** Folder that holds the programs. */
  readonly bin: string;
  /** `pg_dump --version`'s number, e.g. 18.6. */
  readonly version: string;
  readonly major: number;
}

/** PostgreSQL's client programs: the newest found on this machine, passwords by their environment only. */
export interface Programs {
  /** @throws ConfigError where there is no pg_dump. */
  version(): Promise<ProgramVersion>;
  /** Dumps the schema of a database into a file of the custom format. */
  dumpSchema(cluster: Cluster, database: string, file: string, signal: AbortSignal): Promise<void>;
  /** The SQL of one section of such a file, with `-- TOC entry` comments (pg_restore --verbose). */
  sectionSql(file: string, section: 'pre-data' | 'post-data', signal: AbortSignal): Promise<string>;
}
