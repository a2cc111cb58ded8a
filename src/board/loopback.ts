import { isIP } from 'node:net';

/** Names and addresses that lead nowhere but to this machine. Any other name might lead elsewhere. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  if (isIP(name) === 4) return name.startsWith('127.');
  return name === 'localhost' || name === '::1';
}

/** The name in a Host header, without its port. */
export function nameOf(header: string): string {
  return header.replace(/:\d*$/, '');
}
