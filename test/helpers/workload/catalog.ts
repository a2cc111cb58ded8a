/**
 * What there is in a cluster besides rows, as lines that can be compared: before and after, and source with target. Written without
 * any of pgconvoy's own queries.
 */
import type { ClusterInfo } from '../servers.ts';
import { query, withSession } from './session.ts';
import type { Session } from './session.ts';

export interface CatalogPicture {
  /** Roles, databases with their settings and privileges. */
  readonly cluster: readonly string[];
  /** Settings in files, slots, subscriptions, origins: what only makes sense on this server. */
  readonly server: readonly string[];
  /** Objects of each database, by its name; also of postgres and template1. */
  readonly databases: ReadonlyMap<string, readonly string[]>;
}

/** The objects of one database: where the cluster is shared, others come and go meanwhile. */
export function pictureDatabase(server: ClusterInfo, name: string): Promise<readonly string[]> {
  return withSession(server, name, async (session) => lines(session, await forVersion(session, OBJECTS)));
}

/** Looks at everything. Names of pgconvoy's own things are in the lines like any other. */
export async function pictureCatalog(server: ClusterInfo): Promise<CatalogPicture> {
  const databases = new Map<string, readonly string[]>();
  const [cluster, serverLines, names] = await withSession(server, 'postgres', async (session) => [
    await lines(session, await forVersion(session, CLUSTER)),
    await lines(session, await forVersion(session, SERVER)),
    await session.query('select datname from pg_database where datallowconn order by 1'),
  ]);
  for (const { datname } of names) {
    const name = datname as string;
    databases.set(name, await pictureDatabase(server, name));
  }
  return { cluster, server: serverLines, databases };
}

/** What is in the one and not in the other: `- line` was before (or on the source), `+ line` is now (or on the target). */
function differences(before: readonly string[], after: readonly string[]): string[] {
  const [old, now] = [new Set(before), new Set(after)];
  return [
    ...before.filter((line) => !now.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !old.has(line)).map((line) => `+ ${line}`),
  ];
}

/**
 * What differs between the databases of a source and their copies on a target, by objects. How a view is written down is left
 * out: servers of different majors write the same view differently; its columns and its content are compared all the same.
 */
export function copyDifferences(
  source: CatalogPicture,
  target: CatalogPicture,
  databases: readonly string[],
): string[] {
  const objects = (picture: CatalogPicture, name: string) =>
    (picture.databases.get(name) ?? []).filter((line) => !line.startsWith('view '));
  return [
    ...differences(source.cluster, target.cluster),
    ...databases.flatMap((name) =>
      differences(objects(source, name), objects(target, name)).map((line) => `"${name}" ${line}`),
    ),
  ];
}

/** Everything that differs between two pictures of one cluster. */
export function pictureDifferences(before: CatalogPicture, after: CatalogPicture): string[] {
  const names = new Set([...before.databases.keys(), ...after.databases.keys()]);
  return [
    ...differences(before.cluster, after.cluster),
    ...differences(before.server, after.server),
    ...[...names].flatMap((name) =>
      differences(before.databases.get(name) ?? [], after.databases.get(name) ?? []).map((line) => `"${name}" ${line}`),
    ),
  ];
}

/** Lines that name pgconvoy, wherever they are: after uninstall there is none, on either side. */
export async function remainsOf(server: ClusterInfo, picture: CatalogPicture): Promise<string[]> {
  // The paths in a test server's own configuration file name pgconvoy too.
  const ours = (line: string) => /pgconvoy/i.test(line) && !line.startsWith('file postgresql.conf ');
  const sessions = await query(
    server,
    'postgres',
    `select 'session ' || application_name as line from pg_stat_activity where application_name ilike '%pgconvoy%'`,
  );
  return [
    ...picture.cluster.filter(ours),
    ...picture.server.filter(ours),
    ...[...picture.databases].flatMap(([name, objects]) => objects.filter(ours).map((line) => `"${name}": ${line}`)),
    ...sessions.map(({ line }) => line as string),
  ];
}

async function lines(session: Session, statement: string): Promise<string[]> {
  await session.query('set search_path = pg_catalog; set statement_timeout = 0');
  return (await session.query(statement)).map(({ line }) => line as string);
}

/** `{15: a | b}`: a from this version on, b before. */
async function forVersion(session: Session, statement: string): Promise<string> {
  const [row] = await session.query(`select current_setting('server_version_num')::integer / 10000 as major`);
  const major = row?.['major'] as number;
  return statement.replaceAll(/\{(\d+): ([^|]*) \| ([^}]*)\}/g, (_, since: string, yes: string, no: string) =>
    major >= Number(since) ? yes : no,
  );
}

/** Privileges as sorted text; those that come by default are spelled out. MAINTAIN is new in 17: every owner has it. */
const privileges = (acl: string, kind: string, owner: string) => `(
  select string_agg(coalesce(r.rolname, 'PUBLIC') || ' ' || a.privilege_type || case when a.is_grantable then '*' else '' end, ', '
                    order by coalesce(r.rolname::text, 'PUBLIC') collate "C", a.privilege_type collate "C")
    from aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) a left join pg_roles r on r.oid = a.grantee
   where a.privilege_type <> 'MAINTAIN')`;

const userSchema = `n.nspname !~ '^pg_(toast|temp)' and n.nspname not in ('pg_catalog', 'information_schema')`;
/** Made by an extension: the extension's own line speaks for it. */
const notMember = (catalog: string, oid: string) =>
  `not exists (select from pg_depend d where d.classid = '${catalog}'::regclass and d.objid = ${oid} and d.deptype = 'e')`;

const CLUSTER = `
  select line from (
    select concat_ws(' ', 'role', rolname, 'super', rolsuper, 'inherit', rolinherit, 'createrole', rolcreaterole, 'createdb', rolcreatedb,
             'login', rolcanlogin, 'replication', rolreplication, 'bypassrls', rolbypassrls, 'limit', rolconnlimit,
             'until', rolvaliduntil at time zone 'UTC', 'password', md5(rolpassword), shobj_description(oid, 'pg_authid')) as line
      from pg_authid where rolname !~ '^pg_' and rolname <> 'postgres'
    union all
    select concat_ws(' ', 'member', m.rolname, 'of', g.rolname, 'admin', a.admin_option)
      from pg_auth_members a join pg_roles m on m.oid = a.member join pg_roles g on g.oid = a.roleid
     where m.rolname !~ '^pg_'
    union all
    select concat_ws(' ', 'database', datname, 'owner', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype,
             'template', datistemplate, 'connections', datallowconn, 'limit', datconnlimit,
             'privileges', ${privileges('datacl', 'd', 'datdba')}, shobj_description(oid, 'pg_database'))
      from pg_database where datname not in ('template0', 'template1', 'postgres')
    union all
    select concat_ws(' ', 'setting of database', coalesce(d.datname, '(all)'), 'role', coalesce(r.rolname, '(all)'), (select string_agg(setting, '; ' order by setting) from unnest(s.setconfig) setting))
      from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase left join pg_roles r on r.oid = s.setrole
  ) all_lines order by line collate "C"`;

const SERVER = `
  select line from (
    select concat_ws(' ', 'file', regexp_replace(sourcefile, '.*/', ''), name, setting) as line from pg_file_settings
    union all select concat_ws(' ', 'slot', slot_name, plugin, database) from pg_replication_slots
    union all select concat_ws(' ', 'subscription', subname) from pg_subscription
    union all select concat_ws(' ', 'origin', roname) from pg_replication_origin
    union all select concat_ws(' ', 'prepared transaction', gid, database) from pg_prepared_xacts
    union all select concat_ws(' ', 'postgres and template1', datname, datconnlimit, datacl::text) from pg_database where datname in ('template1', 'postgres')
  ) all_lines order by line collate "C"`;

const OBJECTS = `
  select line from (
    select concat_ws(' ', 'schema', nspname, 'owner', pg_get_userbyid(nspowner), 'privileges', ${privileges('nspacl', 'n', 'nspowner')}) as line
      from pg_namespace n where ${userSchema} and ${notMember('pg_namespace', 'n.oid')}
    union all
    select concat_ws(' ', 'relation', n.nspname, c.relname, 'kind', c.relkind, 'owner', pg_get_userbyid(c.relowner), 'persistence', c.relpersistence,
             'options', array_to_string(c.reloptions, ','), 'rls', c.relrowsecurity, c.relforcerowsecurity, 'populated', c.relispopulated,
             'replica identity', c.relreplident, (select i.relname from pg_index x join pg_class i on i.oid = x.indexrelid
                                                  where x.indrelid = c.oid and x.indisreplident and c.relreplident = 'i'),
             'privileges', ${privileges('c.relacl', 'r', 'c.relowner')}, pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class'))
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f') and ${userSchema} and ${notMember('pg_class', 'c.oid')}
    union all
    select concat_ws(' ', 'column', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull,
             'identity', a.attidentity, 'generated', {12: a.attgenerated | ''}, pg_get_expr(d.adbin, d.adrelid),
             'privileges', (select string_agg(coalesce(r.rolname, 'PUBLIC') || ' ' || x.privilege_type, ', ' order by r.rolname::text collate "C", x.privilege_type collate "C")
                              from aclexplode(a.attacl) x left join pg_roles r on r.oid = x.grantee),
             col_description(c.oid, a.attnum))
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f') and ${userSchema} and ${notMember('pg_class', 'c.oid')}
    union all
    select concat_ws(' ', 'index', n.nspname, c.relname, pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid, i.indisready)
      from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where ${userSchema} and ${notMember('pg_class', 'i.indrelid')}
    union all
    select concat_ws(' ', 'constraint', n.nspname, coalesce(c.relname, t.typname), k.conname, pg_get_constraintdef(k.oid), 'valid', k.convalidated)
      from pg_constraint k join pg_namespace n on n.oid = k.connamespace
      left join pg_class c on c.oid = k.conrelid left join pg_type t on t.oid = k.contypid
     where k.contype <> 'n' and ${userSchema}
    union all
    select concat_ws(' ', 'trigger', n.nspname, c.relname, g.tgname, pg_get_triggerdef(g.oid), 'enabled', g.tgenabled)
      from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
     where not g.tgisinternal and ${userSchema}
    union all
    select concat_ws(' ', 'view', n.nspname, c.relname, md5(pg_get_viewdef(c.oid)))
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('v', 'm') and ${userSchema} and ${notMember('pg_class', 'c.oid')}
    union all
    select concat_ws(' ', 'rule', n.nspname, c.relname, r.rulename, pg_get_ruledef(r.oid), r.ev_enabled)
      from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
     where r.rulename <> '_RETURN' and ${userSchema}
    union all
    select concat_ws(' ', 'routine', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), md5(p.prosrc), p.provolatile,
             p.prosecdef, array_to_string(p.proconfig, ','), 'owner', pg_get_userbyid(p.proowner), 'privileges', ${privileges('p.proacl', 'f', 'p.proowner')})
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${userSchema} and ${notMember('pg_proc', 'p.oid')}
    union all
    select concat_ws(' ', 'type', n.nspname, t.typname, t.typtype, format_type(t.typbasetype, t.typtypmod), t.typdefault, 'owner', pg_get_userbyid(t.typowner),
             (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))
      from pg_type t join pg_namespace n on n.oid = t.typnamespace
     where t.typtype in ('e', 'd', 'r') and ${userSchema} and ${notMember('pg_type', 't.oid')}
    union all
    select concat_ws(' ', 'sequence', n.nspname, c.relname, 'owner', pg_get_userbyid(c.relowner), format_type(s.seqtypid, null), s.seqstart, s.seqincrement,
             s.seqmin, s.seqmax, s.seqcache, s.seqcycle, 'privileges', ${privileges('c.relacl', 's', 'c.relowner')},
             (select 'owned by ' || d.refobjid::regclass || ' ' || d.refobjsubid from pg_depend d
               where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0))
      from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
    union all
    select concat_ws(' ', 'policy', schemaname, tablename, policyname, permissive, array_to_string(roles, ','), cmd, qual, with_check) from pg_policies
    union all
    select concat_ws(' ', 'default privileges', pg_get_userbyid(a.defaclrole), n.nspname, a.defaclobjtype,
             (select string_agg(coalesce(r.rolname, 'PUBLIC') || ' ' || x.privilege_type, ', ' order by r.rolname::text collate "C", x.privilege_type collate "C")
                from aclexplode(a.defaclacl) x left join pg_roles r on r.oid = x.grantee where x.privilege_type <> 'MAINTAIN'))
      from pg_default_acl a left join pg_namespace n on n.oid = a.defaclnamespace
    union all select concat_ws(' ', 'extension', e.extname, n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    union all select concat_ws(' ', 'publication', pubname) from pg_publication
    union all select concat_ws(' ', 'event trigger', evtname, evtenabled) from pg_event_trigger
    union all
    select concat_ws(' ', 'large object', oid, 'owner', pg_get_userbyid(lomowner), 'privileges', ${privileges('lomacl', 'L', 'lomowner')},
             obj_description(oid, 'pg_largeobject'))
      from pg_largeobject_metadata
    union all select concat_ws(' ', 'operator', n.nspname, o.oprname, o.oprcode) from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
               where ${userSchema} and ${notMember('pg_operator', 'o.oid')}
    union all select concat_ws(' ', 'collation', n.nspname, o.collname, o.collcollate) from pg_collation o join pg_namespace n on n.oid = o.collnamespace
               where ${userSchema}
  ) all_lines order by line collate "C"`;
