import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { SettingName, unknownSettings } from '../../postgres/catalog/settings.ts';
import {
  DroppableRole,
  droppableRoles,
  RoleDefinition,
  roleDefinitions,
  RoleMembership,
  roleMemberships,
} from '../../postgres/catalog/role-definitions.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { inSecrecy } from '../../postgres/secrecy.ts';
import { parseSetting, sameSetting, setClause } from '../../postgres/settings.ts';
import { fragment, id, join, lit, sql, trusted } from '../../postgres/sql.ts';
import type { Fragment } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';

type Missing =
  | { readonly what: 'role'; readonly role: string }
  | { readonly what: 'membership'; readonly role: string; readonly member: string };

/** Attributes by the words of CREATE ROLE; each is there or with NO before it. */
const ATTRIBUTES = ['superuser', 'inherit', 'createrole', 'createdb', 'login', 'replication', 'bypassrls'] as const;

/**
 * Every role of the source exists on the target, with its attributes, password hash, settings, comment and memberships. A role that
 * the target has already is left as it is, and how it differs is reported. Passwords show up nowhere.
 * @see https://www.postgresql.org/docs/current/sql-createrole.html
 */
export const copyRoles = defineOperation({
  name: 'copy-roles',
  title: 'Every role of the source exists on the target',
  scope: 'cluster',
  input: z.strictObject({}),
  output: z.strictObject({
    created: z.array(z.string()),
    existing: z.array(z.string()),
    /** Roles that the target had already and that are not as on the source, with the attributes that differ. */
    differing: z.array(z.strictObject({ role: z.string(), attributes: z.array(z.string()) })),
    memberships: z.int(),
    /** Settings of roles that the target does not know any more. */
    unknownSettings: z.array(z.string()),
  }),

  async check(context) {
    const { source, target } = await rolesOf(context);
    const found = new Map(target.roles.map((role) => [role.name, role]));
    const missing: Missing[] = [
      ...source.roles.filter(({ name }) => !found.has(name)).map(({ name }) => ({ what: 'role' as const, role: name })),
      ...membershipsWithout(source.memberships, target.memberships).map(({ role, member }) => ({
        what: 'membership' as const,
        role,
        member,
      })),
    ];
    if (missing.length > 0) return lacks(missing);
    const ours = await madeByUs(context);
    const names = source.roles.map(({ name }) => name);
    return holds({
      created: names.filter((name) => ours.has(name)),
      existing: names.filter((name) => !ours.has(name)),
      differing: source.roles
        .filter(({ name }) => !ours.has(name))
        .map((role) => ({ role: role.name, attributes: differences(role, found.get(role.name)!) }))
        .filter(({ attributes }) => attributes.length > 0),
      memberships: source.memberships.length,
      unknownSettings: await removedSettings(context, source.roles),
    });
  },

  async apply(context, missing: readonly Missing[]) {
    const { targetCluster, targetLedger, progress, signal } = context;
    const { source, target } = await rolesOf(context);
    const { maintenance } = targetCluster;
    const missed = new Set(missing.map((each) => each.role));
    const present = new Set(target.roles.map(({ name }) => name));
    const roles = source.roles.filter(({ name }) => missed.has(name) && !present.has(name));
    const unknown = new Set(await removedSettings(context, roles));
    for (const [done, role] of roles.entries()) {
      signal.throwIfAborted();
      progress({ done, total: roles.length, unit: 'objects', note: role.name });
      await targetLedger.record({ kind: 'role', object: role.name }, {});
      await inSecrecy(maintenance, [role.password ?? ''], () => create(context, role, unknown));
    }
    const ours = await madeByUs(context);
    const withOptions = offers((await targetCluster.facts()).major, 'membershipOptions');
    for (const membership of membershipsWithout(source.memberships, target.memberships)) {
      const { role, member } = membership;
      // That of a role of ours goes with the role.
      if (!ours.has(role) && !ours.has(member)) {
        await targetLedger.record({ kind: 'membership', object: JSON.stringify([role, member]) }, {});
      }
      await maintenance.run(sql`grant ${id(role)} to ${id(member)}${optionsOf(membership, withOptions)}`);
    }
  },

  async undo({ targetCluster, targetLedger }) {
    const { maintenance } = targetCluster;
    const memberships = await targetLedger.entries('membership');
    const present = await maintenance.many(RoleMembership, roleMemberships());
    let changed = false;
    for (const { object } of memberships) {
      const [role, member] = z.tuple([z.string(), z.string()]).parse(JSON.parse(object));
      if (present.some((each) => each.role === role && each.member === member)) {
        await maintenance.run(sql`revoke ${id(role)} from ${id(member)}`);
        changed = true;
      }
      await targetLedger.forget({ kind: 'membership', object });
    }
    const made = (await targetLedger.entries('role')).map((entry) => entry.object);
    // What owns or may do something by now belongs to somebody.
    for (const { name } of await maintenance.many(DroppableRole, droppableRoles(made))) {
      await maintenance.run(sql`drop role ${id(name)}`);
      await targetLedger.forget({ kind: 'role', object: name });
      changed = true;
    }
    return changed;
  },
});

const madeByUs = async ({ targetLedger }: OperationContext): Promise<ReadonlySet<string>> =>
  new Set((await targetLedger.entries('role')).map((entry) => entry.object));

interface Roles {
  readonly roles: readonly RoleDefinition[];
  readonly memberships: readonly RoleMembership[];
}

async function rolesOf({ sourceCluster, targetCluster }: OperationContext): Promise<{ source: Roles; target: Roles }> {
  const read = async ({ maintenance }: BoundCluster): Promise<Roles> => ({
    roles: await maintenance.many(RoleDefinition, roleDefinitions()),
    memberships: await maintenance.many(RoleMembership, roleMemberships()),
  });
  const [source, target] = await Promise.all([read(sourceCluster), read(targetCluster)]);
  return { source, target };
}

function membershipsWithout(these: readonly RoleMembership[], those: readonly RoleMembership[]): RoleMembership[] {
  const key = ({ role, member }: RoleMembership) => JSON.stringify([role, member]);
  const keys = new Set(those.map(key));
  return these.filter((each) => !keys.has(key(each)));
}

async function create(
  { targetCluster }: OperationContext,
  role: RoleDefinition,
  unknown: ReadonlySet<string>,
): Promise<void> {
  const { maintenance } = targetCluster;
  const name = id(role.name);
  const options: Fragment[] = [
    ...ATTRIBUTES.map((attribute) => trusted(role[attribute] ? attribute : `no${attribute}`)),
    fragment`connection limit ${trusted(String(role.connectionLimit))}`,
    ...(role.password === null ? [] : [fragment`password ${lit(role.password)}`]),
    ...(role.validUntil === null ? [] : [fragment`valid until ${lit(role.validUntil)}`]),
  ];
  await maintenance.run(sql`create role ${name} with ${join(options, ' ')}`);
  for (const setting of role.settings.map(parseSetting)) {
    if (!unknown.has(setting.name)) await maintenance.run(sql`alter role ${name} set ${setClause(setting)}`);
  }
  if (role.comment !== null) await maintenance.run(sql`comment on role ${name} is ${lit(role.comment)}`);
}

/** Up to 15 the member's INHERIT decided, and from 16 on GRANT takes that as its default. */
function optionsOf({ admin, inherit, set }: RoleMembership, withOptions: boolean): Fragment {
  if (!withOptions) return admin ? fragment` with admin option` : fragment``;
  const options = Object.entries({ admin, inherit, set }).filter(([, value]) => value !== null);
  return fragment` with ${join(options.map(([name, value]) => trusted(`${name} ${value ? 'true' : 'false'}`)))}`;
}

/** Names of what differs; never the values, since one of them is the password's hash. */
function differences(one: RoleDefinition, other: RoleDefinition): string[] {
  const keys = [...ATTRIBUTES, 'connectionLimit', 'validUntil', 'comment'] as const;
  const different: string[] = keys.filter((key) => one[key] !== other[key]);
  // That superusers of two clusters have different passwords is nothing to look at.
  if (one.password !== other.password && !one.isBootstrap) different.push('password');
  const settings = other.settings.map(parseSetting);
  const isThere = (text: string) => settings.some((setting) => sameSetting(setting, parseSetting(text)));
  if (one.settings.length !== settings.length || !one.settings.every(isThere)) different.push('settings');
  return different;
}

async function removedSettings(
  { targetCluster }: OperationContext,
  roles: readonly RoleDefinition[],
): Promise<string[]> {
  const names = [...new Set(roles.flatMap(({ settings }) => settings.map((text) => parseSetting(text).name)))];
  if (names.length === 0) return [];
  const rows = await targetCluster.maintenance.many(SettingName, unknownSettings(names));
  return rows.map(({ name }) => name);
}
