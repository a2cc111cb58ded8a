import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ValueCipher } from '../../../src/config/encryption.ts';
import { holdsCredentials, sealInput, sealText, unsealText } from '../../../src/config/seal.ts';
import { ConfigError } from '../../../src/errors.ts';

const cipher = new ValueCipher('open sesame', { N: 1_024, r: 8, p: 1 });
const seal = (text: string) => sealText('pgconvoy.yaml', text, cipher);
const unseal = (text: string) => unsealText('pgconvoy.yaml', text, cipher);
const at = (text: string, section: string, key = 'password') =>
  (parse(text) as Record<string, Record<string, string>>)[section]![key]!;

describe('credentials encrypted in place', () => {
  const text = `# Ours. Do not touch.
source:   # the old one
    host: old      # in the cellar
    password: 'it''s a "secret"'   # rotated in May

target: { host: new, password: "p\\"w", port: 5433 }  # next door
queue:
  url: redis://me:w%40rd@queue:6379   # of all
  prefix: pgconvoy
accept: [ large-objects ]
`;

  test('every other character stays', () => {
    const sealed = seal(text);
    expect(sealed.changed).toEqual(['source.password', 'target.password', 'queue.url']);
    expect(sealed.text.replaceAll(/encrypted:v1:[\w:-]+/g, '*')).toBe(
      text.replace(`'it''s a "secret"'`, '*').replace('"p\\"w"', '*').replace('redis://me:w%40rd@queue:6379', '*'),
    );
    expect(cipher.decrypt(at(sealed.text, 'source'), 'source.password')).toBe(`it's a "secret"`);
    expect(cipher.decrypt(at(sealed.text, 'target'), 'target.password')).toBe('p"w');
    expect(cipher.decrypt(at(sealed.text, 'queue', 'url'), 'queue.url')).toBe('redis://me:w%40rd@queue:6379');
  });

  test("the board's password and token too, the names of files not", () => {
    const sealed = seal('board: { user: op, password: one, token: two, tokenFile: three }\n');
    expect(sealed.changed).toEqual(['board.password', 'board.token']);
    expect(cipher.decrypt(at(sealed.text, 'board', 'token'), 'board.token')).toBe('two');
  });

  test('those that stand in lists, and whatever a hook gets in its environment', () => {
    const hook = '{ at: opened, command: [dns], environment: { TOKEN: three, ZONE: "${ZONE}" } }';
    const lists = `cutover: { pgbouncer: [{ user: a, password: one, file: f }, { user: b, file: g }], hooks: [${hook}] }\n`;
    const sealed = seal(lists);
    expect(sealed.changed).toEqual(['cutover.pgbouncer.0.password', 'cutover.hooks.0.environment.TOKEN']);
    expect(sealed.text).not.toMatch(/one|three/);
    expect(unseal(sealed.text).text).toBe(lists);
  });

  test('addresses and headers of webhooks as a whole', () => {
    const sealed = seal(
      'notifications: { webhooks: [{ name: a, url: "https://one", headers: { X: two } }, { name: b, urlFile: c }] }\n',
    );
    expect(sealed.changed).toEqual(['notifications.webhooks.0.url', 'notifications.webhooks.0.headers.X']);
    expect(sealed.text).not.toMatch(/one|two/);
  });

  test('and back', () => {
    const back = unseal(seal(text).text);
    expect(back.changed).toEqual(['source.password', 'target.password', 'queue.url']);
    expect(parse(back.text)).toEqual(parse(text));
    expect(back.text).toContain('# rotated in May');
  });

  test('again changes nothing', () => {
    const once = seal(text).text;
    expect(seal(once)).toEqual({ text: once, changed: [] });
    const mixed = once.replace('accept:', '# accept:').replace(/password: encrypted\S+,/, 'password: again,');
    expect(seal(mixed).changed).toEqual(['target.password']);
  });

  test.each([
    ['from a variable', `source: { password: '\${OLD}' }\n`],
    ['partly from a variable', `source: { password: 'x\${OLD}y' }\n`],
    ['an address without a password', 'queue: { url: redis://me@queue }\n'],
    ['a file', 'source: { passwordFile: /run/secrets/old }\n'],
    ['empty', 'source:\n  password:\n'],
    ['nothing at all', ''],
  ])('what holds no secret stays: %s', (_, plain) => {
    expect(seal(plain)).toEqual({ text: plain, changed: [] });
  });

  test('a literal ${ is one afterwards, and again when decrypted', () => {
    const literal = `source:\n  password: a$\${b}\n`;
    const sealed = seal(literal).text;
    expect(cipher.decrypt(at(sealed, 'source'), 'source.password')).toBe(`a\${b}`);
    expect(at(unseal(sealed).text, 'source')).toBe(`a$\${b}`);
  });

  test.each([
    ['a block', 'source:\n  password: |-\n    secret\n  host: old\n'],
    ['a folded block at the end', 'source:\n  host: old\n  password: >-\n    secret\n'],
    ['over two lines', 'source:\n  password: sec\n    ret\n  host: old\n'],
    ['tagged', 'source: { password: !!str secret, host: old }\n'],
    ['anchored', 'source: { password: &p secret, host: old }\n'],
    ['with windows line ends', 'source:\r\n  password: secret\r\n  host: old\r\n'],
    ['JSON', '{"source": {"password": "secret", "host": "old"}}\n'],
  ])('however it is written: %s', (_, written) => {
    const sealed = seal(written).text;
    expect(cipher.decrypt(at(sealed, 'source'), 'source.password')).toMatch(/^sec ?ret$/);
    expect(at(sealed, 'source', 'host')).toBe('old');
    expect(parse(unseal(sealed).text)).toEqual(parse(written));
  });

  test('one password for both, by an alias: each gets its own', () => {
    const sealed = seal('source: { password: &both secret }\ntarget: { password: *both }\n').text;
    expect(cipher.decrypt(at(sealed, 'source'), 'source.password')).toBe('secret');
    expect(cipher.decrypt(at(sealed, 'target'), 'target.password')).toBe('secret');
  });

  test('a value whose change would change another one too is refused', () => {
    const shared = 'source: { password: &both secret }\ntarget: { user: *both }\n';
    expect(() => seal(shared)).toThrow(/cannot be changed in place/);
  });

  test('another password decrypts nothing', () => {
    const other = new ValueCipher('open barley', { N: 1_024, r: 8, p: 1 });
    expect(() => unsealText('pgconvoy.yaml', seal(text).text, other)).toThrow(
      'pgconvoy.yaml: the password does not open source.password',
    );
  });

  test('what is not YAML is refused', () => {
    expect(() => seal('source: {')).toThrow(ConfigError);
  });
});

describe('credentials encrypted before they are written', () => {
  const input = {
    source: { host: 'a', password: 'one' },
    target: { host: 'b' },
    queue: { url: 'redis://q', password: 'two' },
  };

  test('those and no others', () => {
    const sealed = sealInput(input, cipher);
    expect(sealed).toMatchObject({ source: { host: 'a' }, target: { host: 'b' }, queue: { url: 'redis://q' } });
    expect(cipher.decrypt(sealed.source!.password!, 'source.password')).toBe('one');
    expect(cipher.decrypt(sealed.queue!.password!, 'queue.password')).toBe('two');
    expect(sealed.target).not.toHaveProperty('password');
  });

  test('whether there are any', () => {
    expect(holdsCredentials(input)).toBe(true);
    expect(holdsCredentials({ source: { host: 'a' }, queue: { url: 'redis://q' } })).toBe(false);
  });
});
