import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { Setting, settingsNamed } from '../../../postgres/catalog/settings.ts';

const NAMES = ['wal_level', 'output_plugin_libraries', 'max_slot_wal_keep_size', 'idle_replication_slot_timeout'];

/** The source writes WAL that can be decoded, by our plugin, and keeps it for as long as a copy takes. */
export const sourceSettings: Concern = {
  name: 'settings of the source',
  side: 'source',
  async look({ source, engine }) {
    const settings = await source.many(Setting, settingsNamed(NAMES));
    const found = judgeSourceSettings(settings, engine.outputPlugin);
    const value = new Map(settings.map((setting) => [setting.name, setting.value]));
    return NAMES.filter((name) => value.has(name)).map((name) => ({
      id: name,
      title: name,
      detail: value.get(name)!,
      findings: found.filter(({ object }) => object === name),
    }));
  },
};

/** A setting that is not in `settings` is not known to that server, so it cannot be in the way. */
export function judgeSourceSettings(settings: readonly Setting[], plugin: string): CheckFinding[] {
  const value = new Map(settings.map((setting) => [setting.name, setting.value]));
  const found: CheckFinding[] = [];
  const walLevel = value.get('wal_level');
  if (walLevel !== undefined && walLevel !== 'logical') {
    found.push({
      code: 'wal-level',
      severity: 'block',
      side: 'source',
      object: 'wal_level',
      message: `wal_level of the source is ${walLevel}; logical replication needs logical.`,
      remedy: "On the source: ALTER SYSTEM SET wal_level = 'logical'; then restart it.",
    });
  }
  const plugins = value.get('output_plugin_libraries');
  if (plugins !== undefined && !listed(plugins).includes(plugin)) {
    const wanted = [...listed(plugins), plugin].map((name) => `'${name.replaceAll("'", "''")}'`);
    found.push({
      code: 'output-plugin',
      severity: 'block',
      side: 'source',
      object: 'output_plugin_libraries',
      message: `output_plugin_libraries of the source is "${plugins}" and lacks ${plugin}: no slot can be made.`,
      remedy: `On the source: ALTER SYSTEM SET output_plugin_libraries = ${wanted.join(', ')}; SELECT pg_reload_conf(); (no restart)`,
    });
  }
  const keep = Number(value.get('max_slot_wal_keep_size') ?? -1);
  if (keep >= 0) {
    found.push({
      code: 'slot-wal-limit',
      severity: 'warning',
      side: 'source',
      object: 'max_slot_wal_keep_size',
      message: `max_slot_wal_keep_size of the source is ${keep} MB: a database whose slot falls further behind during its copy has to be copied again.`,
      remedy:
        'On the source, until the upgrade is done: ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf(); and watch its disk.',
    });
  }
  const idle = Number(value.get('idle_replication_slot_timeout') ?? 0);
  if (idle > 0) {
    found.push({
      code: 'slot-idle-timeout',
      severity: 'warning',
      side: 'source',
      object: 'idle_replication_slot_timeout',
      message: `idle_replication_slot_timeout of the source is ${idle} s: a slot that nobody reads for so long (a target that is down) is lost, and its database has to be copied again.`,
      remedy:
        'On the source, until the upgrade is done: ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();',
    });
  }
  return found;
}

/** A list of names as a setting holds it: `pgoutput, "odd,name"`. */
export function listed(setting: string): string[] {
  return [...setting.matchAll(/"((?:[^"]|"")*)"|[^,\s"]+/g)].map(
    ([whole, quoted]) => quoted?.replaceAll('""', '"') ?? whole,
  );
}
