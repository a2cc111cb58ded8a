import { describe, expect, test } from 'vitest';
import { parseHba } from '../../../src/postgres/hba-file.ts';
import type { HbaSources } from '../../../src/postgres/hba-file.ts';

const ROOT = '/etc/pg/pg_hba.conf';

function parse(text: string, more: Record<string, string> = {}, folders: Record<string, string[]> = {}) {
  const sources: HbaSources = {
    files: new Map(Object.entries({ [ROOT]: text, ...more })),
    folders: new Map(Object.entries(folders)),
  };
  return parseHba(ROOT, sources);
}
const rules = (...given: Parameters<typeof parse>) => parse(...given).rules;
const line = (text: string) => rules(text)[0];

describe('one line', () => {
  test('tabs and blanks separate fields; the comment ends the line', () => {
    expect(rules('# top\n\n  \t\nhost\tall \t app\t10.0.0.0/8\t md5 # office\n')).toEqual([
      { type: 'host', databases: ['all'], users: ['app'], address: '10.0.0.0', netmask: '255.0.0.0', method: 'md5' },
    ]);
  });

  test.each(['local', 'host', 'hostssl', 'hostnossl', 'hostgssenc', 'hostnogssenc'])('%s is a type', (type) => {
    const place = type === 'local' ? '' : 'samenet ';
    expect(line(`${type} all all ${place}trust`)).toMatchObject({ type, method: 'trust' });
  });

  test.each([
    ['10.1.2.3/32', '10.1.2.3', '255.255.255.255'],
    ['10.0.0.0/9', '10.0.0.0', '255.128.0.0'],
    ['0.0.0.0/0', '0.0.0.0', '0.0.0.0'],
    ['::1/128', '::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['fe80::/10', 'fe80::', 'ffc0::'],
    ['fe80::/112', 'fe80::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:0'],
    ['::/0', '::', '::'],
    ['10.0.0.0 255.255.0.0', '10.0.0.0', '255.255.0.0'],
    ['fe80:: ffff::', 'fe80::', 'ffff::'],
    ['all', 'all', null],
    ['samehost', 'samehost', null],
    ['db.example', 'db.example', null],
    ['.example', '.example', null],
  ])('address %s', (written, address, netmask) => {
    expect(line(`host all all ${written} scram-sha-256`)).toMatchObject({ address, netmask, method: 'scram-sha-256' });
  });

  test('options after the method do not matter', () => {
    expect(line('hostssl all all 0.0.0.0/0 cert clientcert=verify-full map="my map"')).toMatchObject({
      method: 'cert',
    });
  });

  test.each([
    'host all all',
    'host all',
    'nonsense all all trust',
    'host all all 10.0.0.0 md5',
    'host all all 10.0.0.0/33 md5',
    'host all all 10.0.0.0/x md5',
    'local all all',
    '"host" all all 10.0.0.0/8 md5',
  ])('no rule: %s', (text) => {
    expect(rules(text)).toEqual([]);
  });
});

describe('names', () => {
  const names = (text: string) => line(`local ${text} trust`)?.databases;

  test('commas join, with blanks behind them too', () => {
    expect(names('a,b,c u')).toEqual(['a', 'b', 'c']);
    expect(names('a, b,\tc u')).toEqual(['a', 'b', 'c']);
    expect(names('a,,b u')).toEqual(['a', 'b']);
  });

  test('a blank before a comma ends the field', () => {
    expect(line('local a ,b trust')).toMatchObject({ databases: ['a'], users: ['b'] });
  });

  test('quotes keep blanks, commas, # and quotes', () => {
    expect(names('"My ""odd"" DB","a,b","c#d",plain u')).toEqual(['My "odd" DB', 'a,b', 'c#d', 'plain']);
    expect(line('local all "a b" trust')).toMatchObject({ users: ['a b'] });
  });

  test('a quoted keyword is a name', () => {
    expect(names('"all",all,"replication","+staff" u')).toEqual(['"all"', 'all', '"replication"', '"+staff"']);
  });

  test('keywords and groups stay as they are', () => {
    expect(line('local sameuser,samerole,replication +staff,bob trust')).toMatchObject({
      databases: ['sameuser', 'samerole', 'replication'],
      users: ['+staff', 'bob'],
    });
  });

  test('a backslash at the end of a line joins it with the next one', () => {
    expect(rules('host all all \\\n  10.0.0.0/8 md5\nlocal all all peer')).toMatchObject([
      { type: 'host', address: '10.0.0.0' },
      { type: 'local' },
    ]);
  });

  test('lines of Windows', () => {
    expect(rules('local all all trust\r\nhost all all all md5\r\n').map(({ method }) => method)).toEqual([
      'trust',
      'md5',
    ]);
  });
});

describe('other files', () => {
  test('@file stands for the names in it, beside the file that names it, and may name others', () => {
    const found = rules('local @dbs,last @"my users" trust', {
      '/etc/pg/dbs': 'one, two # both\nthree\n@/srv/more\n',
      '/srv/more': '"four, or so"',
      '/etc/pg/my users': 'bob',
    });
    expect(found[0]).toMatchObject({ databases: ['one', 'two', 'three', 'four, or so', 'last'], users: ['bob'] });
  });

  test('a quoted @ is a name', () => {
    expect(line('local "@dbs" all trust')).toMatchObject({ databases: ['@dbs'] });
  });

  test('include, include_if_exists and include_dir put rules in their place', () => {
    const found = rules(
      'include first.conf\ninclude_dir conf.d\ninclude_if_exists /gone.conf\nlocal all all reject',
      {
        '/etc/pg/first.conf': 'local one all trust',
        '/etc/pg/conf.d/b.conf': 'local three all trust',
        '/etc/pg/conf.d/B.conf': 'local two all trust\ninclude deeper.conf',
        '/etc/pg/conf.d/deeper.conf': 'local two_and_a_half all trust',
        '/gone.conf': '',
      },
      { '/etc/pg/conf.d': ['b.conf', 'B.conf', '.hidden.conf', 'b.conf.bak'] },
    );
    expect(found.map(({ databases }) => databases[0])).toEqual(['one', 'two', 'two_and_a_half', 'three', 'all']);
  });

  test('what is not there yet is asked for', () => {
    expect(parse('local @dbs all trust\ninclude more.conf\ninclude_dir d').lacking).toEqual({
      files: ['/etc/pg/dbs', '/etc/pg/more.conf'],
      folders: ['/etc/pg/d'],
    });
    expect(parseHba(ROOT, { files: new Map(), folders: new Map() }).lacking.files).toEqual([ROOT]);
  });

  test('files that include themselves come to an end', () => {
    expect(rules('include pg_hba.conf\nlocal all all trust').length).toBeGreaterThan(0);
    expect(rules('local @loop all trust', { '/etc/pg/loop': 'a @loop' })[0]?.databases.length).toBeGreaterThan(0);
  });
});
