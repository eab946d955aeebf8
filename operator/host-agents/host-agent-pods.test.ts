import { beforeEach, expect, test } from 'vitest';
import type { Pod } from '../core/resources.ts';
import type { Stored } from '../engine/kube-client.ts';
import { HostAgentPods } from './host-agent-pods.ts';

let moves: [string, string | undefined][];
let found: HostAgentPods;

beforeEach(() => {
  moves = [];
  found = new HostAgentPods(
    { onError: (error) => expect.unreachable(String(error)) },
    {
      ...{ namespace: 'warmpool-node', labelSelector: '', port: 8443 },
      onMoved: (node, endpoint) => moves.push([node, endpoint]),
    },
  );
});

function aHostAgent(
  name: string,
  change: { ip?: string; phase?: 'Pending'; age?: number; isEnding?: boolean } = {},
): Stored<Pod> {
  const { ip = '10.0.0.1', phase = 'Running', age = 0, isEnding = false } = change;
  const at = (secondsAgo: number): string => new Date(1e12 - secondsAgo * 1000).toISOString();
  return {
    metadata: {
      ...{ name, namespace: 'warmpool-node', uid: name, resourceVersion: '1', creationTimestamp: at(age) },
      ...(isEnding && { deletionTimestamp: at(0) }),
    },
    spec: { nodeName: 'node-1', containers: [] },
    status: { phase, podIP: ip },
  };
}
const now = (...pods: Stored<Pod>[]): void => found.pods.replaceAll(pods);

test('a host-agent is where its pod runs, and gone with it', () => {
  now(aHostAgent('a'));
  now(aHostAgent('a'));
  now();
  expect(moves).toEqual([
    ['node-1', 'https://10.0.0.1:8443'],
    ['node-1', undefined],
  ]);
});

test('one that does not run yet is nowhere', () => {
  now(aHostAgent('a', { phase: 'Pending' }));
  expect(moves).toEqual([]);
});

test('of an old one that ends and its successor, the successor counts; of two that run, the newer', () => {
  now(aHostAgent('old', { isEnding: true, age: 100 }), aHostAgent('new', { ip: '10.0.0.2', age: 10 }));
  now(aHostAgent('new', { ip: '10.0.0.2', age: 10 }), aHostAgent('newer', { ip: '10.0.0.3', age: 1 }));
  expect(moves.map(([, endpoint]) => endpoint)).toEqual(['https://10.0.0.2:8443', 'https://10.0.0.3:8443']);
});

test('an IPv6 address is written as URLs want it', () => {
  now(aHostAgent('a', { ip: 'fd00::7' }));
  expect(moves).toEqual([['node-1', 'https://[fd00::7]:8443']]);
});
