import type { EngineName } from '../../../../src/replication/engine.ts';
import type { Major } from '../../servers.ts';
import type { WorkloadDatabase } from '../workload.ts';
import { archive } from './archive.ts';
import { billing } from './billing.ts';
import { crm } from './crm.ts';
import { gallery } from './gallery.ts';
import { library } from './library.ts';
import { minutes } from './minutes.ts';
import { odd } from './odd.ts';
import { sensors } from './sensors.ts';
import { shop } from './shop.ts';
import { tenant } from './tenant.ts';
import { testdb } from './testdb.ts';
import { tickets } from './tickets.ts';
import { unicode } from './unicode.ts';
import { warehouse } from './warehouse.ts';

const makers = [
  testdb,
  odd,
  shop,
  warehouse,
  crm,
  sensors,
  archive,
  unicode,
  billing,
  library,
  tickets,
  minutes,
  gallery,
];

/** This many databases for a source of this major, and an engine: thirteen that differ, then tenants that are alike. */
export function workloadDatabases(
  major: Major,
  count = makers.length,
  engine: EngineName = 'native',
): WorkloadDatabase[] {
  const tenants = Array.from({ length: Math.max(0, count - makers.length) }, (_, index) => tenant(index + 1));
  return [...makers, ...tenants].slice(0, count).map((make) => make(major, engine));
}
