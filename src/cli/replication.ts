import type { Session } from './session.ts';
export const readReplication = async (_: Session): Promise<any> => ({});
