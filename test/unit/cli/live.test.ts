import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openLiveView } from '../../../src/cli/render/live.ts';
import { Terminal } from '../../../src/cli/render/terminal.ts';
import { lane, NOW, run, stage } from './views.ts';

beforeEach(() => vi.useFakeTimers({ now: NOW }));
afterEach(() => vi.useRealTimers());

/** Streams as a process has them, at a terminal of 80 × 24 or not. */
function streams(isTTY: boolean) {
  const written = { out: '', err: '' };
  const stream = (key: keyof typeof written) => {
    const through = Object.assign(new PassThrough(), { isTTY, columns: 80, rows: 24 });
    through.on('data', (data: Buffer) => (written[key] += data.toString()));
    return through as unknown as NodeJS.WriteStream;
  };
  const stdin = Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.ReadStream;
  const terminal = new Terminal({
    json: false,
    colour: true,
    stdin,
    stdout: stream('out'),
    stderr: stream('err'),
    env: { TERM: 'xterm' },
  });
  return { terminal, written };
}

const copying = run({ stages: [stage(0, { title: 'Streaming', steps: lane('zoo', { 'copy-tables': 'active' }) })] });

test('without a terminal: one line per event, where it stands every ten seconds, a warning once; nothing moves the cursor', async () => {
  const { terminal, written } = streams(false);
  const live = await openLiveView(terminal);
  for (let second = 0; second <= 25; second++) {
    live.update(copying, ['no worker is listening on this queue']);
    vi.advanceTimersByTime(1_000);
  }
  live.clear();
  expect(written.out).toBe('');
  expect(written.err).toBe(
    [
      `${copying.id}: Upgrade the cluster, 1 database`,
      'stage 1 of 1: Streaming',
      '! no worker is listening on this queue',
      'stage 1 of 1: 0 of 1 database done, 1 active',
      'stage 1 of 1: 0 of 1 database done, 1 active',
      '',
    ].join('\n'),
  );
});

test('on a terminal it redraws, on stderr alone, and leaves nothing behind', async () => {
  const { terminal, written } = streams(true);
  const live = await openLiveView(terminal);
  live.update(copying, []);
  live.clear();
  expect(written.out).toBe('');
  expect(written.err).toContain('copy-tables');
  expect(written.err.slice(written.err.lastIndexOf('copy-tables'))).toContain('\u001b[2K');
});

test('in JSON mode stdout holds the one document and nothing else', () => {
  const out = new PassThrough();
  const stdout = out as unknown as NodeJS.WriteStream;
  const terminal = new Terminal({ json: true, colour: true, stdout });
  terminal.print('for people');
  terminal.document({ ok: true });
  expect(JSON.parse(String(out.read()))).toEqual({ ok: true });
});
