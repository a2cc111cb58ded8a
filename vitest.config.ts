import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/architecture.test.ts', 'test/workflows/**/*.test.ts'],
          // They are pure: nothing of one file can be seen in another, and loading everything once is most of their time.
          isolate: false,
        },
      },
      {
        test: {
          name: 'servers',
          include: ['test/{kit,postgres,operations,replication,queue,runtime,board}/**/*.test.ts'],
          globalSetup: ['test/helpers/global-setup.ts'],
          // Much of their time is waiting, for locks, deadlines and workers; vitest's own choice on two cores is one.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          // Whole roads with workers of their own: one file at a time, or they starve each other on two cores.
          name: 'scenarios',
          include: ['test/{scenarios,cli}/**/*.test.ts'],
          globalSetup: ['test/helpers/global-setup.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          testTimeout: 240_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
