import { defineConfig } from 'vitest/config';
import { SlowFirst } from './test/support/slow-first.ts';

const packages = ['protocol', 'wire', 'operator', 'host-agent', 'runtime-agent', 'local', 'bench', 'conformance'];

/** How long something may take to become true on a machine with much else to do; by default it is a second. */
const expectations = { poll: { timeout: 20_000, interval: 20 } };

export default defineConfig({
  test: {
    sequence: { sequencer: SlowFirst },
    reporters: ['default', './test/support/summary-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          expect: expectations,
          include: [...packages.map((name) => `${name}/**/*.test.ts`), 'test/*.test.ts'],
          isolate: false,
          maxWorkers: 2,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'sim',
          expect: expectations,
          include: ['test/sim/**/*.test.ts'],
          testTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'local',
          expect: expectations,
          include: ['test/local/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          // mostly waiting for processes; two files at a time fit two cores
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'system',
          expect: expectations,
          include: ['test/system/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'apiserver',
          expect: expectations,
          include: ['test/apiserver/**/*.test.ts'],
          globalSetup: ['test/apiserver/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'container',
          expect: expectations,
          include: ['test/container/**/*.test.ts'],
          globalSetup: ['test/container/global-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'cluster',
          expect: expectations,
          include: ['test/cluster/**/*.test.ts'],
          globalSetup: ['test/cluster/global-setup.ts'],
          testTimeout: 240_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
