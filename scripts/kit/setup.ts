/**
 * tsx scripts/kit/setup.ts [--for test|demo|bench] [--majors 10,18]
 * Makes sure that the servers of tests, demo or bench are there. Says what it will fetch first; quick when all is there.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ensureKit, MAJORS, type Major } from './kit.ts';

export type Purpose = 'test' | 'demo' | 'bench';

const majorsFor: Record<Purpose, readonly Major[]> = {
  test: [10, 13, 15, 17, 18],
  demo: [15, 18],
  bench: [15, 18],
};

/** Gets the servers a purpose needs and says so in one line. */
export async function setUpKit(purpose: Purpose, majors = majorsFor[purpose]): Promise<void> {
  if (!existsSync('/usr/share/zoneinfo/UTC')) {
    throw new Error("PostgreSQL needs the machine's time zones, and /usr/share/zoneinfo is missing: install tzdata.");
  }
  const started = performance.now();
  const forTests = purpose === 'test';
  const kit = await ensureKit({ majors, pgbouncer: forTests, chromium: forTests });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const versions = kit.postgres.map((server) => server.version).join(', ');
  const others = forTests ? ', Redis, PgBouncer and Chromium' : ' and Redis';
  console.error(`kit: PostgreSQL ${versions}${others} are ready (${seconds} s)`);
}

function purposeOf(text: string): Purpose {
  if (text in majorsFor) return text as Purpose;
  throw new Error(`--for ${text}: the purposes are ${Object.keys(majorsFor).join(', ')}`);
}

function majorsOf(text: string): Major[] {
  return text.split(',').map((word) => {
    const major = MAJORS.find((each) => String(each) === word.trim());
    if (!major) throw new Error(`--majors ${text}: the kit has ${MAJORS.join(', ')}`);
    return major;
  });
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: { for: { type: 'string', default: 'test' }, majors: { type: 'string' } },
  });
  try {
    await setUpKit(purposeOf(values.for), values.majors ? majorsOf(values.majors) : undefined);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
