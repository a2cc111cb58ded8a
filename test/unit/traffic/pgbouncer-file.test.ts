import { describe, expect, test } from 'vitest';
import { addressOf, addressText, entriesOf, withAddress } from '../../../src/operations/traffic/pgbouncer-file.ts';

const TEXT = [
  ';; comment',
  '# shop = host=not-me',
  '[databases]',
  "shop = host=old.example port=5432 dbname=shop user='o''brien' password='s p''q'",
  "reports=dbname = 'My \"o'' d' pool_size=5 host = 10.0.0.1,10.0.0.2",
  '  socket   =   dbname=shop\tport=6000  ',
  'port_first = port=7000 dbname=x',
  'crlf = host=a port=1\r',
  'empty =',
  '"odd ""name""" = host=old.example',
  '* = host=old.example',
  '%include /etc/pgbouncer/more.ini',
  '[pgbouncer]',
  'shop = host=not-me-either',
  'listen_port = 6432',
  '',
].join('\n');
const NEW = addressText('new.example', 5433);
const names = ['shop', 'reports', 'socket', 'port_first', 'crlf', 'empty', 'odd "name"', '*'];

test('the lines of [databases], with what PgBouncer makes of them', () => {
  expect(entriesOf(TEXT).map(({ name, host, port, database }) => [name, host, port, database])).toEqual([
    ['shop', 'old.example', 5432, 'shop'],
    ['reports', '10.0.0.1,10.0.0.2', 5432, `My "o' d`],
    ['socket', undefined, 6000, 'shop'],
    ['port_first', undefined, 7000, 'x'],
    ['crlf', 'a', 1, 'crlf'],
    ['empty', undefined, 5432, 'empty'],
    ['odd "name"', 'old.example', 5432, 'odd "name"'],
    ['*', 'old.example', 5432, '*'],
  ]);
});

describe.each(names)('%s', (name) => {
  const entry = entriesOf(TEXT).find((each) => each.name === name)!;
  const changed = withAddress(TEXT, name, NEW);

  test('gets another address, and nothing else changes', () => {
    const entries = entriesOf(changed);
    expect(entries.find((each) => each.name === name)).toMatchObject({
      host: 'new.example',
      port: 5433,
      database: entry.database,
    });
    const others = (text: string) => entriesOf(text).filter((each) => each.name !== name);
    expect(others(changed)).toEqual(others(TEXT));
    const lines = (text: string) => text.split('\n');
    expect(lines(changed).filter((line, index) => line !== lines(TEXT)[index])).toHaveLength(1);
    expect(withAddress(changed, name, NEW)).toBe(changed);
  });

  test('gets its own back byte for byte', () => {
    expect(withAddress(changed, name, entry.address)).toBe(TEXT);
  });
});

test('a line keeps its user, password and quotes', () => {
  expect(withAddress(TEXT, 'shop', NEW)).toContain(
    "\nshop = host=new.example port=5433 dbname=shop user='o''brien' password='s p''q'\n",
  );
});

test('a file that is included may begin in the middle of [databases]; of two lines for a name the later one counts', () => {
  const text = 'shop = host=a\nshop = host=b port=2\n';
  expect(entriesOf(text)).toMatchObject([{ name: 'shop', host: 'b', port: 2 }]);
  expect(withAddress(text, 'shop', NEW)).toBe('shop = host=a\nshop = host=new.example port=5433\n');
});

test('an address that needs quotes has them', () => {
  const odd = addressText(`/run/it's here`, 5432);
  expect(odd.host).toBe(`'/run/it''s here'`);
  expect(addressOf(odd)).toEqual({ host: `/run/it's here`, port: 5432 });
});
