/**
 * What PostgreSQL 9.4, 9.5 and 9.6 document of their catalogs, views, functions, types and words, as far as a source of these
 * versions is asked for it. No such server is at hand: what is sent to one is checked against this.
 * @see https://www.postgresql.org/docs/9.4/catalogs.html
 * @see https://www.postgresql.org/docs/9.5/catalogs.html
 * @see https://www.postgresql.org/docs/9.6/catalogs.html
 */

/** The first of these versions that has it. */
type Since = 9.4 | 9.5 | 9.6;
export const OLD_MAJORS: readonly Since[] = [9.4, 9.5, 9.6];

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

/** By relation: the columns of 9.4, and those that came later. */
const RELATIONS: Readonly<Record<string, readonly [columns: string, later?: Readonly<Record<string, Since>>]>> = {
  pg_aggregate: ['aggfnoid aggkind aggtransfn aggfinalfn aggsortop aggtranstype agginitval'],
  pg_am: ['amname'],
  pg_attrdef: ['adrelid adnum adbin adsrc'],
  pg_attribute: [
    `attrelid attname atttypid attstattarget attlen attnum attndims attcacheoff atttypmod attbyval attstorage attalign attnotnull
     atthasdef attisdropped attislocal attinhcount attcollation attacl attoptions attfdwoptions`,
  ],
  pg_auth_members: ['roleid member grantor admin_option'],
  pg_authid: [
    'rolname rolsuper rolinherit rolcreaterole rolcreatedb rolcanlogin rolreplication rolconnlimit rolpassword rolvaliduntil',
    { rolbypassrls: 9.5 },
  ],
  pg_available_extension_versions: ['name version installed superuser relocatable schema requires comment'],
  pg_available_extensions: ['name default_version installed_version comment'],
  pg_cast: ['castsource casttarget castfunc castcontext castmethod'],
  pg_class: [
    `relname relnamespace reltype reloftype relowner relam relfilenode reltablespace relpages reltuples relallvisible reltoastrelid
     relhasindex relisshared relpersistence relkind relnatts relchecks relhasoids relhaspkey relhasrules relhastriggers
     relhassubclass relispopulated relreplident relfrozenxid relminmxid relacl reloptions`,
    { relrowsecurity: 9.5, relforcerowsecurity: 9.5 },
  ],
  pg_collation: ['collname collnamespace collowner collencoding collcollate collctype'],
  pg_constraint: [
    `conname connamespace contype condeferrable condeferred convalidated conrelid contypid conindid confrelid confupdtype confdeltype
     confmatchtype conislocal coninhcount connoinherit conkey confkey conpfeqop conppeqop conffeqop conexclop conbin consrc`,
  ],
  pg_conversion: ['conname connamespace conowner'],
  pg_database: [
    `datname datdba encoding datcollate datctype datistemplate datallowconn datconnlimit datlastsysoid datfrozenxid datminmxid
     dattablespace datacl`,
  ],
  pg_db_role_setting: ['setdatabase setrole setconfig'],
  pg_default_acl: ['defaclrole defaclnamespace defaclobjtype defaclacl'],
  pg_depend: ['classid objid objsubid refclassid refobjid refobjsubid deptype'],
  pg_description: ['objoid classoid objsubid description'],
  pg_enum: ['enumtypid enumsortorder enumlabel'],
  pg_event_trigger: ['evtname evtevent evtowner evtfoid evtenabled evttags'],
  pg_extension: ['extname extowner extnamespace extrelocatable extversion extconfig extcondition'],
  pg_foreign_data_wrapper: ['fdwname fdwowner fdwhandler fdwvalidator fdwacl fdwoptions'],
  pg_foreign_server: ['srvname srvowner srvfdw srvtype srvversion srvacl srvoptions'],
  pg_foreign_table: ['ftrelid ftserver ftoptions'],
  pg_index: [
    `indexrelid indrelid indnatts indisunique indisprimary indisexclusion indimmediate indisclustered indisvalid indcheckxmin indisready
     indislive indisreplident indkey indcollation indclass indoption indexprs indpred`,
  ],
  pg_inherits: ['inhrelid inhparent inhseqno'],
  pg_language: ['lanname lanowner lanispl lanpltrusted lanplcallfoid laninline lanvalidator lanacl'],
  pg_largeobject: ['loid pageno data'],
  pg_largeobject_metadata: ['lomowner lomacl'],
  pg_locks: [
    `locktype database relation page tuple virtualxid transactionid classid objid objsubid virtualtransaction pid mode granted
     fastpath`,
  ],
  pg_namespace: ['nspname nspowner nspacl'],
  pg_opclass: ['opcmethod opcname opcnamespace opcowner opcfamily opcintype opcdefault opckeytype'],
  pg_operator: [
    `oprname oprnamespace oprowner oprkind oprcanmerge oprcanhash oprleft oprright oprresult oprcom oprnegate oprcode oprrest
     oprjoin`,
  ],
  pg_opfamily: ['opfmethod opfname opfnamespace opfowner'],
  pg_prepared_xacts: ['transaction gid prepared owner database'],
  pg_proc: [
    `proname pronamespace proowner prolang procost prorows provariadic protransform proisagg proiswindow prosecdef proleakproof proisstrict
     proretset provolatile pronargs pronargdefaults prorettype proargtypes proallargtypes proargmodes proargnames proargdefaults prosrc
     probin proconfig proacl`,
    { protrftypes: 9.5, proparallel: 9.6 },
  ],
  pg_range: ['rngtypid rngsubtype rngcollation rngsubopc rngcanonical rngsubdiff'],
  pg_replication_slots: [
    'slot_name plugin slot_type datoid database active xmin catalog_xmin restart_lsn',
    { active_pid: 9.5, confirmed_flush_lsn: 9.6 },
  ],
  pg_rewrite: ['rulename ev_class ev_type ev_enabled is_instead ev_qual ev_action'],
  pg_roles: [
    `rolname rolsuper rolinherit rolcreaterole rolcreatedb rolcanlogin rolreplication rolconnlimit rolpassword rolvaliduntil
     rolconfig`,
    { rolbypassrls: 9.5 },
  ],
  pg_seclabel: ['objoid classoid objsubid provider label'],
  pg_settings: [
    `name setting unit category short_desc extra_desc context vartype source min_val max_val enumvals boot_val reset_val
     sourcefile sourceline`,
    { pending_restart: 9.5 },
  ],
  pg_shdepend: ['dbid classid objid objsubid refclassid refobjid deptype'],
  pg_stat_activity: [
    `datid datname pid usesysid usename application_name client_addr client_hostname client_port backend_start xact_start
     query_start state_change state backend_xid backend_xmin query`,
    { wait_event_type: 9.6, wait_event: 9.6 },
  ],
  pg_stat_replication: [
    `pid usesysid usename application_name client_addr client_hostname client_port backend_start backend_xmin state
     sent_location write_location flush_location replay_location sync_priority sync_state`,
  ],
  pg_stats: ['schemaname tablename attname inherited correlation'],
  pg_statistic: ['starelid staattnum stainherit stanullfrac stawidth stadistinct'],
  pg_tablespace: ['spcname spcowner spcacl spcoptions'],
  pg_trigger: [
    `tgrelid tgname tgfoid tgtype tgenabled tgisinternal tgconstrrelid tgconstrindid tgconstraint tgdeferrable tginitdeferred tgnargs
     tgattr tgargs tgqual`,
  ],
  pg_ts_config: ['cfgname cfgnamespace cfgowner cfgparser'],
  pg_ts_dict: ['dictname dictnamespace dictowner dicttemplate dictinitoption'],
  pg_ts_parser: ['prsname prsnamespace'],
  pg_ts_template: ['tmplname tmplnamespace'],
  pg_type: [
    `typname typnamespace typowner typlen typbyval typtype typcategory typispreferred typisdefined typdelim typrelid typelem typarray
     typinput typoutput typreceive typsend typmodin typmodout typanalyze typalign typstorage typnotnull typbasetype typtypmod typndims
     typcollation typdefaultbin typdefault typacl`,
  ],
  pg_user_mapping: ['umuser umserver umoptions'],
  pg_user_mappings: ['umid srvid srvname umuser usename umoptions'],
  // What functions return that stand for a table.
  aclexplode: ['grantor grantee privilege_type is_grantable'],
  pg_identify_object: ['type schema name identity'],
  pg_stat_file: ['size access modification change creation isdir'],
  // Our own.
  '"ledger"': ['kind database object before at'],
  '"pgconvoy_lines"': ['line'],
  // Tables of pglogical 2 itself, the same for all these versions.
  local_node: ['node_id node_local_interface'],
  node: ['node_id node_name'],
  node_interface: ['if_id if_name if_nodeid if_dsn'],
  replication_set: ['set_id set_nodeid set_name replicate_insert replicate_update replicate_delete replicate_truncate'],
  subscription: ['sub_id sub_name sub_origin sub_target sub_enabled sub_slot_name'],
  local_sync_status: ['sync_kind sync_subid sync_nspname sync_relname sync_status sync_statuslsn'],
  show_subscription_status: [
    'subscription_name status provider_node provider_dsn slot_name replication_sets forward_origins',
  ],
  replication_set_table: ['set_id set_reloid set_att_list set_row_filter'],
};

/** Relations that came after 9.4. */
const LATER_RELATIONS: Readonly<Record<string, readonly [Since, columns: string]>> = {
  pg_control_system: [9.6, 'pg_control_version catalog_version_no system_identifier pg_control_last_modified'],
  pg_policy: [9.5, 'polname polrelid polcmd polroles polqual polwithcheck'],
  pg_replication_origin: [9.5, 'roident roname'],
  pg_transform: [9.5, 'trftype trflang trffromsql trftosql'],
};

const FUNCTIONS = words(`
  abs acldefault aclexplode array_agg array_to_string bool_or btrim clock_timestamp coalesce col_description convert_to count current_database encode
  current_setting date_part extract float8send format format_type generate_series get_byte getdatabaseencoding greatest has_database_privilege has_function_privilege
  has_schema_privilege has_table_privilege hashtext host inet_server_addr hashint8 json_agg json_build_array json_build_object json_each_text json_object_agg json_to_recordset
  least left length lower max md5 min nextval now nullif obj_description octet_length percentile_disc pg_advisory_lock pg_advisory_unlock pg_advisory_xact_lock
  pg_backend_pid pg_cancel_backend pg_conf_load_time pg_database_size pg_create_logical_replication_slot pg_current_xlog_insert_location
  pg_current_xlog_location pg_describe_object pg_drop_replication_slot pg_encoding_to_char pg_export_snapshot pg_get_constraintdef
  pg_get_expr pg_get_function_identity_arguments pg_get_functiondef pg_get_indexdef pg_get_ruledef pg_get_triggerdef pg_get_userbyid
  pg_get_viewdef pg_identify_object pg_is_in_recovery pg_last_xlog_replay_location pg_my_temp_schema pg_postmaster_start_time
  pg_read_binary_file pg_relation_filenode pg_relation_size pg_reload_conf pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time
  pg_table_size pg_tablespace_databases pg_terminate_backend pg_try_advisory_lock pg_xlog_location_diff quote_ident quote_literal
  regexp_replace replace round row row_number row_to_json set_config setval shobj_description split_part string_agg string_to_array
  substr substring sum to_char to_json trim txid_current_snapshot txid_snapshot_xmax txid_snapshot_xmin unnest upper xpath
  create_node create_replication_set drop_node drop_replication_set replication_set_add_table replication_set_remove_table
  alter_subscription_disable alter_subscription_enable alter_subscription_synchronize create_subscription drop_subscription
  show_subscription_status`);

/** Functions that came after 9.4; those of later versions than 9.6 are in no list. */
const LATER_FUNCTIONS: Readonly<Record<string, Since>> = {
  array_position: 9.5,
  jsonb_agg: 9.5,
  jsonb_build_object: 9.5,
  to_jsonb: 9.5,
  parse_ident: 9.6,
  pg_blocking_pids: 9.6,
  pg_replication_origin_advance: 9.5,
  pg_replication_origin_create: 9.5,
  pg_replication_origin_drop: 9.5,
  pg_replication_origin_progress: 9.5,
  pg_logical_emit_message: 9.6,
  pg_size_bytes: 9.6,
};

const TYPES = words(`
  aclitem bigint bit bool boolean bytea char double float4 float8 inet int int2 int4 int8 integer json jsonb name numeric oid pg_lsn
  precision record regclass regproc regprocedure regtype smallint text tid timestamptz timestamp varchar xid`);
const LATER_TYPES: Readonly<Record<string, Since>> = { regnamespace: 9.5, regrole: 9.5 };

/** Of SQL, and of the replication protocol: https://www.postgresql.org/docs/9.4/protocol-replication.html */
const KEYWORDS = words(`
  access add advisory all alter always and any array as asc authorization before begin between binary by cascade case cast check close collate column
  comment commit concurrently connect connection constraint constraints copy create cross current_user database databases default
  deferrable deferred delete desc disable distinct do drop else enable encoding end epoch exists extension false filter for foreign format
  from full function functions global grant grantable group having identity if ilike immediate in index inherit inner insert into is
  isolation join key last lateral left level like limit local lock materialized mode not nothing notnull nowait null nulls of off offset
  on only operator option options or order ordinality outer over owned owner partition password primary privileges publication read
  recursive references rename repeatable replica reset restrict returning revoke right role rollback row rows rule schema security select sequence
  session session_user set share similar snapshot some sql stdout superuser symmetric table tablespace temporary then time to transaction
  trigger true truncate type union unique unknown until update usage user using valid validate values verbose view when where with
  within without work write zone
  login replication nosuperuser nocreatedb nocreaterole createdb createrole public delimiter csv quote first select_only
  ctid oid tableoid xmin last_value is_called pglogical execute tables
  default_transaction_read_only lock_timeout extra_float_digits log_error_verbosity
  create_replication_slot`);
const LATER_KEYWORDS: Readonly<Record<string, Since>> = {
  bypassrls: 9.5,
  conflict: 9.5,
  excluded: 9.5,
  locked: 9.5,
  policy: 9.5,
  system: 9.5,
  tablesample: 9.5,
  skip: 9.5,
};

/** Forms that are newer than their words. */
const LATER_FORMS: readonly (readonly [RegExp, since: number, what: string])[] = [
  [/current_setting\s*\([^()]*,[^()]*\)/, 9.6, 'current_setting(name, missing_ok)'],
  [/to_regclass\s*\(\s*[^'(]/, 9.6, 'to_regclass(text)'],
  [/\bon\s+conflict\b/, 9.5, 'ON CONFLICT'],
  [/\bdo\s+(nothing|update)\b/, 9.5, 'ON CONFLICT'],
  [/\badd\s+column\s+if\s+not\s+exists\b/, 9.6, 'ADD COLUMN IF NOT EXISTS'],
  [/\bcreate\s+(unique\s+)?index\s+(concurrently\s+)?if\s+not\s+exists\b/, 9.5, 'CREATE INDEX IF NOT EXISTS'],
  [/\ballow_connections\b/, 9.5, 'ALLOW_CONNECTIONS'],
  [/\bgenerated\s+(always|by)\b/, 10, 'identity columns'],
];

function known(major: number): Set<string> {
  const later = [LATER_FUNCTIONS, LATER_TYPES, LATER_KEYWORDS].flatMap((list) =>
    Object.entries(list).flatMap(([word, since]) => (major >= since ? [word] : [])),
  );
  return new Set([...FUNCTIONS, ...TYPES, ...KEYWORDS, ...later]);
}

const relationsOf = (major: number): ReadonlyMap<string, readonly string[]> =>
  new Map([
    ...Object.entries(RELATIONS).map(([name, [columns, later = {}]]): [string, string[]] => [
      name,
      [...words(columns), ...Object.keys(later).filter((column) => major >= later[column]!)],
    ]),
    ...Object.entries(LATER_RELATIONS).flatMap(([name, [since, columns]]): [string, string[]][] =>
      major >= since ? [[name, words(columns)]] : [],
    ),
  ]);

/** Without comments and values; quoted names are kept, in their quotes. */
const bare = (text: string): string =>
  text
    .replaceAll(/--[^\n]*/g, ' ')
    .replaceAll(/E'(?:[^'\\]|\\.|'')*'/g, " '' ")
    .replaceAll(/'(?:[^']|'')*'/g, " '' ")
    .toLowerCase();

/**
 * Every word of a statement that this version does not document and the statement itself does not declare (an alias, the name of
 * a query in WITH): columns count only where a relation that has them is named.
 */
export function unknownWords(text: string, major: number): string[] {
  const tokens = bare(text).match(/"(?:[^"]|"")*"|[a-z_][a-z0-9_]*|[^\s\w]/g) ?? [];
  const relations = relationsOf(major);
  const vocabulary = known(major);
  for (const name of tokens.filter((token) => relations.has(token))) {
    vocabulary.add(name);
    for (const column of relations.get(name)!) vocabulary.add(column);
  }
  for (const name of declared(tokens, vocabulary, (token) => relations.has(token))) vocabulary.add(name);
  const unknown = tokens.filter((token) => /^[a-z_]/.test(token) && !vocabulary.has(token));
  const forms = LATER_FORMS.filter(([form, since]) => major < since && form.test(bare(text))).map(([, , what]) => what);
  return [...new Set([...unknown, ...forms])];
}

/** Aliases: after AS, after a relation, a query of WITH or a closing bracket, before `AS (`, and the columns in brackets behind one of them. */
function declared(
  tokens: readonly string[],
  vocabulary: ReadonlySet<string>,
  isTable: (token: string) => boolean,
): Set<string> {
  const names = new Set<string>();
  const isName = (token: string | undefined) => token !== undefined && /^[a-z_]/.test(token) && !vocabulary.has(token);
  const columnsFrom = (at: number) => {
    if (tokens[at] !== '(') return;
    const end = tokens.indexOf(')', at);
    for (const token of tokens.slice(at + 1, end)) if (/^[a-z_]/.test(token)) names.add(token);
  };
  for (const [at, token] of tokens.entries()) {
    const next = tokens[at + 1];
    if (token === 'as' && next !== '(') {
      if (isName(next)) names.add(next!);
      columnsFrom(at + 2);
    } else if (names.has(token) && ['from', 'join', ','].includes(tokens[at - 1] ?? '') && isName(next)) {
      names.add(next!);
    } else if ((token === ')' || isTable(token) || token.startsWith('"')) && isName(next)) {
      names.add(next!);
      columnsFrom(at + 2);
    } else if ((token === 'with' || token === 'recursive' || token === ',') && /^[a-z_]/.test(next ?? '')) {
      const after = tokens[at + 2] === '(' ? tokens.indexOf(')', at + 2) + 1 : at + 2;
      if (tokens[after] !== 'as' || tokens[after + 1] !== '(') continue;
      names.add(next!);
      columnsFrom(at + 2);
    }
  }
  return names;
}
