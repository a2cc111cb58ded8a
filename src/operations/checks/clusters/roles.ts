import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import {
  RoleAttributes,
  roleAttributes,
  RoleName,
  rolesWithMd5Password,
} from '../../../postgres/catalog/role-attributes.ts';
import { id } from '../../../postgres/sql.ts';

const OUR_ROLES = 'pgconvoy%';

/** Roles that are on both sides are the same there, and no password is of a kind that dies out. */
export const roles: Concern = {
  name: 'roles',
  side: 'target',
  asks: ['source', 'target'],
  async look({ source, target, targetCluster }) {
    const { major } = await targetCluster.facts();
    const md5 = major < 18 ? [] : await source.many(RoleName, rolesWithMd5Password(OUR_ROLES));
    return [
      ...judgeRoles(
        await source.many(RoleAttributes, roleAttributes(OUR_ROLES)),
        await target.many(RoleAttributes, roleAttributes(OUR_ROLES)),
      ),
      ...judgeMd5(md5.map((role) => role.name)),
    ];
  },
};

export function judgeRoles(source: readonly RoleAttributes[], target: readonly RoleAttributes[]): CheckFinding[] {
  const there = new Map(target.map((role) => [role.name, role.attributes]));
  return source.flatMap(({ name, attributes }): CheckFinding[] => {
    const other = there.get(name);
    if (!other) return [];
    const differing = Object.entries(attributes).filter(([word, value]) => other[word] !== value);
    if (differing.length === 0) return [];
    return [
      {
        code: 'role-differs',
        severity: 'warning',
        side: 'target',
        object: name,
        message: `Role "${name}" exists on both sides with different attributes: ${differing
          .map(([word, value]) => `${word} is ${value} on the source and ${other[word]} on the target`)
          .join('; ')}. The one on the target is left as it is.`,
        remedy: `To make them alike, on the target: ALTER ROLE ${id(name).text} ${differing.map(([word, value]) => clause(word, value)).join(' ')};`,
      },
    ];
  });
}

function clause(word: string, value: string): string {
  if (word === 'CONNECTION LIMIT') return `${word} ${value}`;
  if (word === 'VALID UNTIL') return `${word} '${value}'`;
  return value === 'true' ? word : `NO${word}`;
}

export function judgeMd5(names: readonly string[]): CheckFinding[] {
  if (names.length === 0) return [];
  const shown = names.slice(0, 10).map((name) => `"${name}"`);
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  return [
    {
      code: 'md5-password',
      severity: 'warning',
      side: 'source',
      message: `${names.length} roles have MD5 passwords, which PostgreSQL 18 deprecates (they still work there): ${shown.join(', ')}${more}.`,
      remedy:
        "SET password_encryption = 'scram-sha-256'; and have each password set anew, before or after the upgrade.",
    },
  ];
}
