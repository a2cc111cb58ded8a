import type { ConnectionOptions } from 'node:tls';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { homeOf, readText } from './environment.ts';
import type { Environment } from './environment.ts';
import type { SslMode } from './schema.ts';

export interface SslChoice {
  readonly host: string;
  readonly sslmode: SslMode;
  readonly sslrootcert: string | undefined;
}

/**
 * What libpq's sslmode means for `pg`. `prefer` is TLS here; that a server without TLS is taken too is up to the connection.
 * @see https://www.postgresql.org/docs/current/libpq-ssl.html
 */
export function sslOptions(
  { host, sslmode, sslrootcert }: SslChoice,
  env: Environment,
): { readonly ssl: false | ConnectionOptions } | { readonly failure: string; readonly remedy: string } {
  // libpq never encrypts a unix socket.
  if (sslmode === 'disable' || host.startsWith('/')) return { ssl: false };
  if (sslmode === 'prefer' || (sslmode === 'require' && sslrootcert === undefined)) {
    return { ssl: { rejectUnauthorized: false } };
  }
  const usual = join(homeOf(env), '.postgresql', 'root.crt');
  const file = sslrootcert ?? (existsSync(usual) ? usual : undefined);
  if (file === undefined) {
    return {
      failure: `sslmode ${sslmode} needs the certificates to trust, and there is no ${usual}`,
      remedy: 'Set sslrootcert to the file of the certificate authority, or to `system` for those of this machine.',
    };
  }
  const authorities = file === 'system' ? { text: undefined } : readText(file);
  if ('failure' in authorities) {
    return {
      failure: `sslrootcert ${file} cannot be read: ${authorities.failure}`,
      remedy: 'Correct the path, or the rights on the file.',
    };
  }
  return {
    ssl: {
      rejectUnauthorized: true,
      ...(authorities.text === undefined ? {} : { ca: authorities.text }),
      // As in libpq, `require` with certificates to trust is verify-ca; only verify-full looks at the name.
      ...(sslmode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    },
  };
}
