import { ConfigError } from '../../errors.ts';

/** How a text of statements runs on two servers between which rows are on their way. */
export interface DdlPlan {
  readonly statements: readonly string[];
  /**
   * - `target-first`: nothing that rows on their way depend on: the target takes it, or the source never sees it
   * - `together`: what comes before it in the stream of rows must be applied first, what comes after it must not: both sides at once,
   *   while the source holds its locks
   * - `alone`: PostgreSQL takes it outside of a transaction only; `alone-source-first` where the target must not be stricter first
   */
  readonly order: 'target-first' | 'together' | 'alone' | 'alone-source-first';
}

/**
 * Cuts a text into statements, as psql does: at semicolons outside of quotes, comments, parentheses and bodies BEGIN ATOMIC … END.
 * @see https://www.postgresql.org/docs/current/sql-syntax-lexical.html
 */
export function splitStatements(text: string): string[] {
  const statements: string[] = [];
  let start = 0;
  let parentheses = 0;
  let bodies = 0;
  let words: string[] = [];
  const end = (at: number) => {
    const statement = text.slice(start, at).trim();
    if (words.length > 0) statements.push(statement);
    [start, parentheses, bodies, words] = [at + 1, 0, 0, []];
  };
  for (const { index, token } of tokensOf(text)) {
    if (token === '(') parentheses++;
    else if (token === ')') parentheses--;
    else if (token === ';') {
      if (parentheses <= 0 && bodies === 0) end(index);
    } else {
      const word = token.toLowerCase();
      words.push(word);
      // Only a function's body may hold whole statements.
      if (/^create (or replace )?(function|procedure)$/.test(words.slice(0, words[1] === 'or' ? 4 : 2).join(' '))) {
        if (word === 'begin' || word === 'case') bodies++;
        else if (word === 'end' && bodies > 0) bodies--;
      }
    }
  }
  end(text.length);
  return statements;
}

/** Words, parentheses and semicolons of a text, without quotes and comments; a quoted thing counts as the word it stands for. */
function* tokensOf(text: string): Generator<{ readonly index: number; readonly token: string }> {
  const pattern =
    /--[^\n]*|\/\*|\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|[eE]'(?:[^'\\]|\\[^]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|[();]|\d+/g;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [found] = match;
    if (found.startsWith('--')) continue;
    if (found === '/*') pattern.lastIndex = endOfComment(text, match.index);
    else if (found.startsWith('$')) {
      const close = text.indexOf(found, pattern.lastIndex);
      pattern.lastIndex = close < 0 ? text.length : close + found.length;
    } else if (/^(?:[eE]?'|"|\d)/.test(found)) continue;
    else yield { index: match.index, token: found };
  }
}

/** Comments of this kind nest. */
function endOfComment(text: string, start: number): number {
  const pattern = /\/\*|\*\//g;
  pattern.lastIndex = start;
  let depth = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return pattern.lastIndex;
  }
  return text.length;
}

const wordsOf = (statement: string): string =>
  [...tokensOf(statement)].map(({ token }) => token.toLowerCase()).join(' ');

interface Refusal {
  readonly pattern: RegExp;
  readonly why: string;
  readonly hint: string;
}

/** What may not run on both sides, by its first words; the first that fits counts. */
const REFUSED: readonly Refusal[] = [
  {
    pattern: /^(create|alter|drop) (role|user|group)\b/,
    why: 'roles belong to the cluster, and such a statement may hold a password',
    hint: 'Run it with psql on the source; `pgconvoy setup` copies roles with their password hashes.',
  },
  {
    pattern:
      /^(begin|start transaction|commit|end|rollback|abort|savepoint|release|prepare transaction|set transaction)\b/,
    why: 'pgconvoy itself opens and ends the transactions, one on each side',
    hint: 'Leave the transaction control out.',
  },
  {
    pattern: /^(insert|update|delete|merge|truncate|copy|select|with|values|table|call|do|execute|lock)\b/,
    why: 'it may change rows, and those travel by themselves: run on both sides it would change them twice',
    hint: 'Run it with psql on the source alone.',
  },
  {
    pattern: /^(create|alter|drop) (database|tablespace|subscription|publication|system)\b|^alter system\b/,
    why: 'it is not about the objects of one database',
    hint: 'Run it with psql on the side that it is meant for.',
  },
  {
    pattern: /^(create|alter|drop) (user mapping|server)\b/,
    why: 'it may hold a password',
    hint: 'Run it with psql on both sides.',
  },
];

const ALLOWED = /^(create|alter|drop|comment|grant|revoke|security label|set|reset|reassign)\b/;

/**
 * Which statements a text holds and how they are to run.
 * @throws ConfigError for what may not run on both sides, with the reason
 */
export function planDdl(text: string): DdlPlan {
  const statements = splitStatements(text);
  if (statements.length === 0) {
    throw new ConfigError('there is no statement to run', {
      hint: 'Put it behind --, in quotes: pgconvoy ddl orders -- "ALTER TABLE …", or name a file with --file.',
    });
  }
  const all = statements.map(wordsOf);
  for (const [index, words] of all.entries()) refuse(statements[index]!, words);
  const alone = all.findIndex(runsAlone);
  if (alone >= 0) {
    if (statements.length > 1) {
      throw new ConfigError(`${head(statements[alone]!)} cannot run in a transaction, so not together with others`, {
        hint: 'Give it to a pgconvoy ddl of its own.',
      });
    }
    // A key that the target alone has would stop rows that the source still takes.
    return { statements, order: all[0]!.startsWith('create unique') ? 'alone-source-first' : 'alone' };
  }
  return { statements, order: all.every(nothingWaitsFor) ? 'target-first' : 'together' };
}

const runsAlone = (words: string): boolean =>
  /^(create (unique )?index|drop index) concurrently\b/.test(words) || /^alter type .*\badd value\b/.test(words);

const nothingWaitsFor = (words: string): boolean =>
  /^(create|comment|grant|revoke|security label|set|reset)\b/.test(words) && !words.startsWith('create unique');

function refuse(statement: string, words: string): void {
  const refusal = REFUSED.find(({ pattern }) => pattern.test(words));
  if (refusal) {
    throw new ConfigError(`${head(statement)} cannot run through pgconvoy ddl: ${refusal.why}`, { hint: refusal.hint });
  }
  if (!ALLOWED.test(words) || /\bpgconvoy\b/i.test(statement)) {
    throw new ConfigError(`${head(statement)} is not for pgconvoy ddl`, {
      hint: 'It takes CREATE, ALTER, DROP, COMMENT, GRANT, REVOKE and SET, about objects that are not pgconvoy’s own.',
    });
  }
}

/** Its first words alone: what follows may be a secret. */
const head = (statement: string): string => {
  const words = wordsOf(statement).toUpperCase().split(' ');
  return words.slice(0, /^(CREATE|ALTER|DROP)$/.test(words[0]!) ? 2 : 1).join(' ');
};
