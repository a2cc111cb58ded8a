import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { Config } from '../../src/config/schema.ts';

const read = (name: string): string => readFileSync(join(import.meta.dirname, '../..', name), 'utf8');

const Image = z.string().regex(/^[a-z]+(:\d+)?$/);
const Build = z.union([z.literal('.'), z.strictObject({ dockerfile_inline: z.string().regex(/^FROM [a-z]+:\d+\n/) })]);
/**
 * The part of the Compose specification that we use, strictly: there is no Docker engine to try the file on.
 * @see https://github.com/compose-spec/compose-spec/blob/main/spec.md
 */
const Compose = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]*$/),
  services: z.record(
    z.string(),
    z
      .strictObject({
        image: Image.optional(),
        build: Build.optional(),
        command: z.array(z.string()).optional(),
        environment: z.record(z.string(), z.string()).optional(),
        ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/, 'loopback only')).optional(),
        volumes: z.array(z.string().regex(/^[a-z]+:\//)).optional(),
        configs: z.array(z.strictObject({ source: z.string(), target: z.string().startsWith('/') })).optional(),
        depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })).optional(),
        healthcheck: z
          .strictObject({
            test: z.tuple([z.literal('CMD')]).rest(z.string()),
            interval: z.string().regex(/^\d+s$/),
            retries: z.int(),
          })
          .optional(),
        profiles: z.array(z.string()).optional(),
        restart: z.enum(['no', 'always', 'on-failure', 'unless-stopped']).optional(),
        stop_grace_period: z
          .string()
          .regex(/^\d+s$/)
          .optional(),
      })
      .refine(({ image, build }) => image ?? build, 'an image or what it is built of'),
  ),
  configs: z.record(z.string(), z.strictObject({ content: z.string() })),
  volumes: z.record(z.string(), z.null()),
});

const compose = Compose.parse(parse(read('docker-compose.yml')));
const services = Object.entries(compose.services);
const named = (name: string) => compose.services[name]!;
const imageOf = (name: string): string => {
  const { image, build } = named(name);
  return typeof build === 'object' ? /^FROM (\S+)/.exec(build.dockerfile_inline)![1]! : image!;
};

test('each volume and each configuration that a service uses is declared, and none that nobody uses', () => {
  const volumes = services.flatMap(([, each]) => (each.volumes ?? []).map((volume) => volume.split(':')[0]));
  expect(volumes.sort()).toEqual(Object.keys(compose.volumes).sort());
  const configs = services.flatMap(([, each]) => (each.configs ?? []).map(({ source }) => source));
  expect([...new Set(configs)]).toEqual(Object.keys(compose.configs));
});

test('who waits for another service waits for one that says when it is ready', () => {
  for (const [, { depends_on: needed }] of services) {
    for (const name of Object.keys(needed ?? {})) expect([name, named(name).healthcheck]).not.toContain(undefined);
  }
});

test('redis keeps the queue: on disk, and whole', () => {
  expect(named('redis').command?.join(' ')).toContain('--appendonly yes --maxmemory-policy noeviction');
});

test('source and target can do what an upgrade and a way back need', () => {
  for (const server of ['source', 'target']) {
    expect(named(server).command).toContain('wal_level=logical');
    expect(named(server).command).toContain('shared_preload_libraries=pglogical');
    expect(named(server).build).toMatchObject({
      dockerfile_inline: expect.stringContaining(`postgresql-${imageOf(server).split(':')[1]}-pglogical`),
    });
  }
  expect(named('target').command).toContain('max_active_replication_origins=100');
  const major = (server: string) => Number(imageOf(server).split(':')[1]);
  expect(major('target')).toBeGreaterThan(major('source'));
});

test('the configuration of the containers is one of ours: it names services, and the board asks who comes', () => {
  const text = compose.configs['pgconvoy']!.content.replaceAll(/\$\{\w+:-(\w+)\}/g, '$1');
  const config = Config.parse(parse(text));
  expect(services.map(([name]) => name)).toEqual(
    expect.arrayContaining([config.source.host, config.target.host, new URL(config.queue.url!).hostname]),
  );
  expect(config.board).toMatchObject({ host: '0.0.0.0', password: 'board' });
  expect(named('board').ports).toEqual([`127.0.0.1:${config.board.port}:${config.board.port}`]);
});

test('the image runs the built program as nobody special, with the client tools of the newest major', () => {
  const lines = read('Dockerfile').split('\n');
  const { bin } = z.object({ bin: z.object({ pgconvoy: z.string() }) }).parse(JSON.parse(read('package.json')));
  expect(lines).toContain('USER node');
  expect(lines).toContain(`ENTRYPOINT ["node", "/app/${bin.pgconvoy}"]`);
  expect(lines.join('\n')).toContain('postgresql-client-18');
  const configured = /PGCONVOY_CONFIG=(\S+)/.exec(lines.join('\n'))![1];
  for (const name of ['worker', 'board', 'pgconvoy']) expect(named(name).configs?.[0]?.target).toBe(configured);
});
