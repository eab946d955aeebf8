import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from './config.ts';

describe('the operator’s flags', () => {
  let folder: string;
  let key: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'warmpool-operator-config-'));
    key = join(folder, 'key');
    writeFileSync(key, 'k'.repeat(32));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('of a cluster', () => {
    const flags = ['--leader-elect', '--pod-name', 'operator-1', '--host-agent-namespace', 'warmpool-node'];
    expect(readConfig(flags, {})).toMatchObject({
      audiences: ['warmpool.dev'],
      hostAgents: { kind: 'found', namespace: 'warmpool-node', port: 8443 },
      namespace: 'warmpool-system',
      leaseNamespace: 'warmpool-system',
      podName: 'operator-1',
    });
  });

  test('of one machine', () => {
    const flags = ['--grant-key-file', key, '--host-agent', 'n1=unix:/run/a.sock', '--listen', '127.0.0.1:0'];
    expect(readConfig([...flags, '--auth', 'none'], {})).toMatchObject({
      audiences: undefined,
      hostAgents: { kind: 'named', endpoints: [{ node: 'n1', endpoint: 'unix:/run/a.sock' }] },
    });
  });

  test.each<[string[], RegExp]>([
    [['--host-agent-namespace', 'x', '--auth', 'none'], /--auth none: anybody could claim on 0\.0\.0\.0:8080/],
    [['--host-agent-namespace', 'x', '--auth', 'none', '--listen', ':80'], /--auth none/],
    [['--host-agent-namespace', 'x', '--grant-key-file', 'k'], /leave --host-agent and --grant-key-file out/],
    [['--host-agent', 'n1=unix:/a'], /--grant-key-file is required/],
    [['--host-agent-namespace', 'x', '--auth', 'basic'], /^--auth: /],
    [['--host-agent-namespace', 'x', '--host-agent-port', '0'], /^--host-agent-port: /],
  ])('%j are refused with a sentence', (flags, words) => {
    expect(() => readConfig(flags, {})).toThrow(words);
  });
});
