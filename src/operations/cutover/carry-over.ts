import { inOneJob } from '../../engine/in-one-job.ts';
import { compareTables } from '../comparison/compare-tables.ts';
import { createDeferredTriggers } from '../schema/create-deferred-triggers.ts';
import { copySequences } from '../sequences/copy-sequences.ts';
import { copyUnreplicated } from '../unreplicated/copy-unreplicated.ts';

/**
 * What is left to do for each of many databases behind the fence that has been raised for all of them, before they are opened together:
 * whatever one of them takes, all wait for.
 */
export const carryOver = inOneJob({
  name: 'carry-over',
  title: 'What replication does not carry is on the target, and nothing differs',
  queue: 'cutover',
  parts: [copySequences, copyUnreplicated, compareTables, createDeferredTriggers],
});
