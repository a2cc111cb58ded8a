import { expect, test } from 'vitest';
import { logEntries } from '../../../src/postgres/log-entries.ts';

const CSV = (pid: number, severity: string, message: string, detail = '', context = '') =>
  `2026-11-23 17:00:00.123 UTC,,,${pid},,6922.1,1,,2026-11-23 16:59:59 UTC,4/2,745,${severity},23505,"${message}","${detail}",,,,"${context}",,,"","logical replication worker",,0\n`;

test.each<[string, string, number | undefined]>([
  ['%m [%p] ', '2026-11-23 17:00:00.123 UTC [4711] ', 4711],
  ['%m [%p] %q%u@%d ', '2026-11-23 17:00:00.123 UTC [4711] ', 4711],
  ['%t:%-8p:%c $^(%a) ', '2026-11-23 17:00:00 UTC:4711    :6922.1 $^() ', 4711],
  ['<%m> 100%% ', '<2026-11-23 17:00:00.123 UTC> 100% ', undefined],
  ['', '', undefined],
])('lines that begin with %j', (prefix, begun, pid) => {
  const text = [
    'a of line cut in the middle',
    '\tand how it goes on',
    `${begun}LOG:  starts: really`,
    `${begun}ERROR:  two`,
    '\tlines',
    `${begun}DETAIL:  Key (id)=(7) exists.`,
    `${begun}HINT:  none`,
    '\tof a hint',
    `${begun}CONTEXT:  of "public.t"`,
    `${begun}STATEMENT:  select 1`,
  ].join('\n');
  expect(logEntries('stderr', text, prefix)).toEqual([
    { pid, severity: 'LOG', message: 'starts: really' },
    { pid, severity: 'ERROR', message: 'two\nlines', detail: 'Key (id)=(7) exists.', context: 'of "public.t"' },
  ]);
});

test('csvlog from the middle of a message', () => {
  const cut = CSV(1, 'LOG', 'is cut').slice(150);
  const text = cut + CSV(2, 'ERROR', 'of ""t"",\nin two lines', 'Key, and comma', 'while') + CSV(3, 'LOG', 'ends');
  expect(logEntries('csvlog', text, '')).toEqual([
    { pid: 2, severity: 'ERROR', message: 'of "t",\nin two lines', detail: 'Key, and comma', context: 'while' },
    { pid: 3, severity: 'LOG', message: 'ends' },
  ]);
  expect(logEntries('csvlog', 'nothing of it', '')).toEqual([]);
});

test('jsonlog from the middle of a message', () => {
  const whole = JSON.stringify({ pid: 5, error_severity: 'ERROR', message: 'm', detail: 'd', backend_type: 'x' });
  expect(logEntries('jsonlog', `${whole.slice(9)}\n${whole}\n`, '')).toEqual([
    { pid: 5, severity: 'ERROR', message: 'm', detail: 'd' },
  ]);
});
