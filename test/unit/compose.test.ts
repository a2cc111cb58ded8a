import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';

/**
 * The part of the Compose specification that we use, strictly: there is no Docker engine to try the file on.
 * @see https://github.com/compose-spec/compose-spec/blob/main/spec.md
 */
const Compose = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]*$/),
  services: z.record(
    z.string(),
    z.strictObject({
      image: z.string().regex(/^[a-z]+:\d+/),
      command: z.array(z.string()),
      environment: z.record(z.string(), z.string()).optional(),
      ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/, 'loopback only')),
      volumes: z.array(z.string().regex(/^[a-z]+:\//)),
      healthcheck: z.strictObject({
        test: z.tuple([z.literal('CMD')]).rest(z.string()),
        interval: z.string().regex(/^\d+s$/),
        retries: z.int(),
      }),
    }),
  ),
  volumes: z.record(z.string(), z.null()),
});

const compose = Compose.parse(parse(readFileSync(join(import.meta.dirname, '../../docker-compose.yml'), 'utf8')));

test('each volume that a service uses is declared', () => {
  const used = Object.values(compose.services).flatMap(({ volumes }) => volumes.map((volume) => volume.split(':')[0]));
  expect(used.sort()).toEqual(Object.keys(compose.volumes).sort());
});

test('redis keeps the queue: on disk, and whole', () => {
  expect(compose.services['redis']?.command.join(' ')).toContain('--appendonly yes --maxmemory-policy noeviction');
});

test('source and target can do what an upgrade needs', () => {
  expect(compose.services['source']?.command).toContain('wal_level=logical');
  expect(compose.services['target']?.command).toContain('max_active_replication_origins=100');
  const major = (service: string) => Number(compose.services[service]?.image.split(':')[1]);
  expect(major('target')).toBeGreaterThan(major('source'));
});
