import type { Response } from 'express';

/** An answer in the form that Bull Board's pages show as a message; programs get the same. */
export function refuse(response: Response, status: number, message: string): void {
  response.status(status).json({ error: 'Refused', message });
}
