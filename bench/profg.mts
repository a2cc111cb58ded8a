import { setUpKit } from '../scripts/kit/setup.ts';
import { openRunFolder } from '../test/helpers/run-folder.ts';
import { useMemory } from './memory.ts';
import { small } from './scenarios.ts';
import { openPair, statements } from './servers.ts';
import { Program } from '../test/helpers/program.ts';
import { startRedis } from '../test/helpers/servers.ts';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
const [n = '100', log] = process.argv.slice(2);
await setUpKit('bench'); useMemory(); openRunFolder();
await using pair = await openPair(small(Number(n)).fill, { source: 15, target: 18 });
await using redis = await startRedis({ name: 'bench-redis' });
const { source, target } = pair;
await using program = await Program.open({ source, target, redis, config: { cutover: { reverse: true, together: true }, budgets: { cutovers: Number(process.env.CUT ?? 4) } } });
const worker = await program.startWorker();
const complete = async (...words: string[]) => { const r = await program.json<any>(...words); if (r.document.run?.state !== 'completed') throw new Error(r.stdout.slice(0, 3000) + r.stderr); return r.document.run; };
for (const words of [['fix', '--yes'], ['setup'], ['start']]) await complete(...words);
const stat = (pid: string | number) => { try { const t = readFileSync(`/proc/${pid}/stat`, 'utf8'); return t.slice(t.lastIndexOf(')') + 2).split(' '); } catch { return undefined; } };
const cpu = (pm: number) => { const f = stat(pm)!; let s = [11, 12, 13, 14].reduce((a, i) => a + Number(f[i]), 0); for (const p of readdirSync('/proc')) { if (!/^\d+$/.test(p)) continue; const g = stat(p); if (g && g[1] === String(pm)) s += Number(g[11]) + Number(g[12]); } return s / 100; };
if (log === 'log') for (const c of [source, target]) { await statements(c, 'postgres', "alter system set log_min_duration_statement = 0", "alter system set log_line_prefix='%m|%p|%d|%a|%b|'", "alter system set log_connections='on'", 'select pg_reload_conf()'); writeFileSync(c.logFile, ''); }
if (process.env.NODE_OPTIONS) writeFileSync('/tmp/prof/start', '');
const samples: { t: number; m: Map<string, [string, number]> }[] = [];
const titles = new Map<string, string>();
const sample = () => { const m = new Map<string, [string, number]>(); for (const p of readdirSync('/proc')) { if (!/^\d+$/.test(p)) continue; const g = stat(p); if (!g) continue; const side = g[1] === String(source.pid) ? 'source ' : g[1] === String(target.pid) ? 'target ' : ''; if (!side) continue; const key = p + ':' + g[19]; let k = titles.get(key); if (!k || k.includes('idle')===false) { try { const t = readFileSync(`/proc/${p}/cmdline`, 'utf8').replace(/\0/g, '').replace(/^postgres: /, '').replace(/\[?[\d.]+\]?/g, 'N').replace(/bench_\w+/g, 'DB'); k = side + t.split(' ').slice(0, t.startsWith('logical') ? 4 : t.startsWith('walsender') ? 2 : 2).join(' '); titles.set(key, k); } catch { continue; } } m.set(key, [k!, (Number(g[11]) + Number(g[12])) / 100]); } samples.push({ t: Date.now(), m }); };
const timer = setInterval(sample, 400);
const b = [cpu(source.pid), cpu(target.pid), cpu(worker.pid), cpu(redis.pid)];
const run = await complete('stop', '--yes');
const a = [cpu(source.pid), cpu(target.pid), cpu(worker.pid), cpu(redis.pid)];
clearInterval(timer); sample();
if (process.env.NODE_OPTIONS) { writeFileSync('/tmp/prof/dump', ''); await new Promise((r) => setTimeout(r, 2500)); }
console.log('cpu of stop: source, target, worker, redis', a.map((x, i) => (x - b[i]!).toFixed(2)));
const steps = run.stages.flatMap((s: any) => s.steps);
const out = steps.filter((s: any) => s.operation === 'open-target').map((s: any) => s.output.outageMs).sort((x: number, y: number) => x - y);
console.log('worst', out.at(-1), 'median', out[out.length >> 1]);
const t0 = Math.min(...steps.filter((s: any) => s.key === 'fence-together').map((s: any) => s.startedAt));
const rows: Record<string, any> = {};
for (const s of steps) { if (!s.startedAt) continue; const r = rows[s.key] ??= { n: 0, from: 1e9, to: 0, sum: 0 }; r.n++; r.from = Math.min(r.from, s.startedAt - t0); r.to = Math.max(r.to, s.finishedAt - t0); r.sum += s.finishedAt - s.startedAt; }
for (const [k, r] of Object.entries(rows)) console.log(k.padEnd(30), r.n, 'from', r.from, 'to', r.to, 'mean', (r.sum / r.n).toFixed(0));
if (log === 'log') { execFileSync('cp', [source.logFile, '/tmp/pprof.source.log']); execFileSync('cp', [target.logFile, '/tmp/pprof.target.log']); }

const t1 = t0 + Math.max(...steps.filter((s: any) => s.key === 'agree-to-open').map((s: any) => s.finishedAt - t0));
const agg: Record<string, number> = {}; let seen = 0;
for (let i = 1; i < samples.length; i++) { if (samples[i]!.t < t0 || samples[i]!.t > t1 + 200) continue; for (const [k, [kind, c]] of samples[i]!.m) { const before = samples[i - 1]!.m.get(k)?.[1] ?? 0; agg[kind] = (agg[kind] ?? 0) + c - before; seen += c - before; } }
console.log('in the window', ((t1 - t0) / 1000).toFixed(1), 's; seen cpu', seen.toFixed(1));
for (const [k, v] of Object.entries(agg).sort((x, y) => y[1] - x[1]).slice(0, 20)) console.log(v.toFixed(2), k);
