import { request } from 'node:http';
import { expect, test } from 'vitest';
import { Config } from '../../src/config/schema.ts';
import { requireProtection } from '../../src/board/authentication.ts';
import { ConfigError, ExitCode } from '../../src/errors.ts';
import { openSite } from './site.ts';
import type { Site } from './site.ts';

const basic = (user: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

/** fetch does not let anybody choose the Host header. */
const statusWithHost = (site: Site, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(site.url);
    const sent = request({ hostname, port, path: '/api/queues', headers: { host } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    sent.on('error', reject).end();
  });

const wished = (board: object) => Config.shape.board.parse(board);

test.each(['0.0.0.0', '::', '10.1.2.3', 'board.example.org', '127.0.0.1.example.org', 'localhost.example.org'])(
  'beyond loopback (%s) only with a password or a token',
  (host) => {
    let thrown: unknown;
    try {
      requireProtection(wished({ host }));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigError);
    expect(thrown).toMatchObject({ exitCode: ExitCode.usage, hint: expect.stringContaining('board.passwordFile') });
    requireProtection(wished({ host, password: 'p' }));
    requireProtection(wished({ host, token: 't' }));
  },
);

test.each(['127.0.0.1', '127.9.9.9', 'localhost', '::1'])('on loopback (%s) without', (host) => {
  expect(() => requireProtection(wished({ host }))).not.toThrow();
});

test('a board that may not listen, or cannot, does not', async () => {
  await expect(openSite({ config: { host: '0.0.0.0' } })).rejects.toThrow('let in anybody');
  await using site = await openSite();
  const port = Number(new URL(site.url).port);
  await expect(openSite({ config: { port } })).rejects.toThrow(`port ${port}: somebody else listens there`);
});

test('people by user and password, programs by token; anybody else sees nothing', async () => {
  await using site = await openSite({ config: { user: 'op', password: 'pässword: 1', token: 'a token' } });
  const status = async (headers: Record<string, string>, path = '/api/queues') =>
    (await site.get(path, headers)).status;
  expect(await status(basic('op', 'pässword: 1'))).toBe(200);
  expect(await status({ Authorization: 'bearer a token' })).toBe(200);
  for (const headers of [
    {},
    basic('op', 'password: 1'),
    basic('pgconvoy', 'pässword: 1'),
    basic('op', ''),
    { Authorization: 'Bearer pässword: 1'.normalize().replace('ä', 'a') },
    { Authorization: 'Bearer ' },
    { Authorization: 'a token' },
  ])
    for (const path of ['/', '/api/queues', '/metrics', '/static/images/logo.svg', '/queue/copy'])
      expect([await status(headers, path), path]).toEqual([401, path]);
  const asked = await site.get('/');
  expect(asked.headers.get('www-authenticate')).toBe('Basic realm="pgconvoy", charset="UTF-8"');
  expect(((await asked.json()) as { message: string }).message).toContain('Who are you?');
  expect((await site.change('PUT', '/api/queues/copy/x/retry')).status).toBe(401);
  // What an orchestrator asks without knowing a password tells nothing but yes or no.
  expect(await (await site.get('/healthz')).json()).toEqual({ ok: true });
  expect(await (await site.get('/readyz')).json()).toEqual({ ok: true, queue: 'reachable' });
});

test('without password and token the board answers to names of this machine only', async () => {
  await using site = await openSite();
  expect(await statusWithHost(site, 'localhost:1')).toBe(200);
  expect(await statusWithHost(site, '[::1]:8480')).toBe(200);
  expect(await statusWithHost(site, 'rebound.example.org')).toBe(403);
  expect(await statusWithHost(site, '127.0.0.1.example.org:80')).toBe(403);
});

test('what changes something must come from a page of the board', async () => {
  await using site = await openSite();
  const path = '/api/queues/copy/nothing/retry';
  const status = async (headers: Record<string, string>) => (await site.change('PUT', path, undefined, headers)).status;
  // 404: it came through, and there is no such job.
  expect(await status({})).toBe(404);
  const origin = new URL(site.url).origin;
  const page = async (headers: Record<string, string>) =>
    (
      await fetch(`${site.url}${path}`, {
        method: 'PUT',
        headers: { Cookie: 'XSRF-TOKEN=word', 'X-XSRF-TOKEN': 'word', ...headers },
      })
    ).status;
  // fetch itself sends `Sec-Fetch-Mode` alone.
  expect(await page({})).toBe(404);
  expect(await page({ Origin: origin })).toBe(404);
  for (const headers of [
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { 'Sec-Fetch-Site': 'none' },
    { 'X-XSRF-TOKEN': 'guess' },
    { 'X-XSRF-TOKEN': '' },
    { Cookie: 'other=1' },
    { Cookie: 'XSRF-TOKEN=', 'X-XSRF-TOKEN': '' },
  ])
    expect([await status(headers), headers]).toEqual([403, headers]);
  for (const headers of [{ Origin: 'https://example.org' }, { Origin: 'null' }, { Origin: `${origin}0` }])
    expect([await page(headers), headers]).toEqual([403, headers]);
});

test('a page hands out the cookie that its requests bring back, and keeps the one that is there', async () => {
  await using site = await openSite();
  const cookie = (await site.get('/')).headers.get('set-cookie');
  expect(cookie).toMatch(/^XSRF-TOKEN=[\w-]{32}; Path=\/; SameSite=Strict$/);
  expect((await site.get('/', { Cookie: 'XSRF-TOKEN=mine' })).headers.get('set-cookie')).toBeNull();
});

test('behind a proxy that ends TLS, below a path', async () => {
  await using site = await openSite({ config: { basePath: '/tools/pgconvoy', password: 'p' } });
  expect(site.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/tools\/pgconvoy$/);
  const proxied = {
    ...basic('pgconvoy', 'p'),
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'ops.example.org',
    'X-Forwarded-For': '203.0.113.7',
  };
  const page = await site.get('/', proxied);
  expect(page.headers.get('set-cookie')).toMatch(/; Path=\/tools\/pgconvoy; Secure; SameSite=Strict$/);
  expect(await page.text()).toContain('<base href="/tools/pgconvoy/" />');
  expect((await site.get('/api/queues', proxied)).status).toBe(200);
  expect((await site.get('/static/images/logo.svg', proxied)).headers.get('content-type')).toContain('image/svg');
  const retried = await fetch(`${site.url}/api/queues/copy/nothing/retry`, {
    method: 'PUT',
    headers: { ...proxied, Origin: 'https://ops.example.org', Cookie: 'XSRF-TOKEN=w', 'X-XSRF-TOKEN': 'w' },
  });
  expect(retried.status).toBe(404);
  const outside = await fetch(new URL('/api/queues', site.url), { headers: proxied });
  expect(outside.status).toBe(404);
  expect(await outside.json()).toMatchObject({ message: 'There is nothing here. The board is at /tools/pgconvoy' });
});

test('pages come with headers that keep others out, and without a word about what serves them', async () => {
  await using site = await openSite();
  for (const path of ['/', '/api/queues', '/metrics', '/healthz', '/static/images/logo.svg', '/api/nothing']) {
    const { headers } = await site.get(path);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self';");
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('x-powered-by')).toBeNull();
  }
});

test('a request that nobody understands is answered without a stack trace', async () => {
  await using site = await openSite();
  const answer = await fetch(`${site.url}/api/queues/copy/x/retry`, {
    method: 'PUT',
    headers: { Cookie: 'XSRF-TOKEN=w', 'X-XSRF-TOKEN': 'w', 'Content-Type': 'application/json' },
    body: '{"',
  });
  expect(answer.status).toBeLessThan(500);
  expect(await answer.text()).not.toMatch(/node_modules|\n +at /);
});
