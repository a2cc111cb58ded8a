/** docs/findings.md: each finding, whether it blocks, what it means, and what to do. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FINDINGS } from '../../src/operations/checks/findings.ts';

const SOURCE = join(import.meta.dirname, '../../src/operations/checks/findings.ts');

type Entry = (typeof FINDINGS)[number];

/** What an operator decides by, in words. */
const SEVERITIES = {
  block: 'Blocks.',
  warning: 'Warns.',
  either: 'Blocks or warns, as the finding says.',
} as const satisfies Record<Entry['severity'], string>;

/** The entries under the headings that stand as comments between them. */
function groups(): { readonly title: string; readonly entries: readonly Entry[] }[] {
  const found: { title: string; entries: Entry[] }[] = [];
  for (const [, comment, code] of readFileSync(SOURCE, 'utf8').matchAll(/^  \/\/ (.+)$|^    code: '([\w-]+)',$/gm)) {
    if (comment !== undefined) found.push({ title: comment, entries: [] });
    const entry = FINDINGS.find((each) => each.code === code);
    if (entry) found.at(-1)?.entries.push(entry);
  }
  if (found.flatMap(({ entries }) => entries).length !== FINDINGS.length) {
    throw new Error('findings.ts: each finding needs a heading, as a comment of its own line, above it');
  }
  return found;
}

const section = ({ code, severity, meaning, remedy }: Entry): string =>
  `### \`${code}\`\n\n${SEVERITIES[severity]} ${meaning}\n\n**What to do:** ${remedy}`;

export const findingsPage = (): string => `# Findings

Made by \`npm run docs\` from the program itself.

A finding is something that stands in the way of an upgrade, or that an operator should know. \`pgconvoy check\` prints it with the names and
values it has found and with the very lines to type. This page says what each code means in general.

A finding that *blocks* stops \`setup\`, \`upgrade\` and the cutover before anything is changed (exit code 3). One that *warns* stops nothing.

A code in \`accept:\` of the configuration no longer blocks. It stays visible, as a warning. Accept what you have understood, with the reason:

\`\`\`yaml
accept: [{ finding: locale-missing, database: archive, reason: 'nobody sorts there' }]
\`\`\`

${groups()
  .map(({ title, entries }) => `## ${title}\n\n${entries.map(section).join('\n\n')}`)
  .join('\n\n')}
`;
