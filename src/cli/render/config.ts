import type { MetQueue, MetServer } from '../config/try-out.ts';
import type { Style } from './style.ts';
import { columns, plural, visible } from './text.ts';

export interface WrittenConfig {
  readonly file: string;
  /** It is the one that commands find without being told. */
  readonly usual: boolean;
  readonly encrypted: boolean;
  readonly source: MetServer;
  readonly target: MetServer;
  readonly queue: MetQueue;
  readonly warnings: readonly string[];
}

/** What `pgconvoy config` has written, and what comes next. */
export function renderWritten({ file, usual, encrypted, source, target, queue }: WrittenConfig, style: Style): string {
  const rows = [
    ['source', ...serverCells(source)],
    ['target', ...serverCells(target)],
    ['queue', queue.address === undefined ? 'a private redis-server on this machine' : visible(queue.address)],
  ];
  const option = usual ? '' : ` --config ${visible(file)}`;
  return [
    `${style.green('✓')} ${visible(file)} is written, readable for you alone${encrypted ? '; its credentials are encrypted' : ''}`,
    ...columns(rows).map((line) => `  ${line}`),
    ...(encrypted
      ? [
          '  Commands ask for the password; workers and scripts find it in PGCONVOY_CONFIG_PASSWORD, or in a file',
          '  that --config-password-file or PGCONVOY_CONFIG_PASSWORD_FILE names.',
        ]
      : []),
    `  next: ${style.cyan(`pgconvoy check${option}`)}`,
  ].join('\n');
}

const serverCells = ({ input, version, databases }: MetServer): string[] => [
  `PostgreSQL ${version}`,
  visible(`${input.host}, port ${input.port}`),
  plural(databases, 'database'),
];

/** The same as JSON, without any credential. */
export function configDocument(written: WrittenConfig): Record<string, unknown> {
  const { file, encrypted, source, target, queue, warnings } = written;
  return {
    ok: true,
    file,
    encrypted,
    source: serverDocument(source),
    target: serverDocument(target),
    queue: { address: queue.address ?? null, warnings: queue.warnings },
    warnings,
  };
}

function serverDocument({ input, version, superuser, databases }: MetServer): Record<string, unknown> {
  const { host, port, user, database } = input;
  return { host, port, user, database, version, superuser, databases };
}
