import { once } from 'node:events';
import { connect } from 'node:net';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { CodeServer } from './code-server.ts';
import { NODE_NAME } from './credentials.ts';
import { Claimant } from './faults/claimant.ts';
import { nodeProblems, type PodObject } from './faults/invariants.ts';
import { readNode } from './faults/node-state.ts';
import { type Kubectl, until } from './kubectl.ts';
import {
  createPool,
  installTwoOperators,
  NODE_NAMESPACE,
  OPERATOR_NAMESPACE,
  POOL_NAMESPACE,
  startProduct,
  untilFull,
  untilRolledOut,
} from './product.ts';
import { isNodeReady, SECOND_NODE, SecondNode } from './second-node.ts';

const access = inject('cluster');
const LIMIT_MS = 90_000;
/** The garbage collector of pods looks for their nodes now and then, and looks twice. */
const NODE_GONE_LIMIT_MS = 180_000;
const ON_FIRST = 'two-nodes-first';
const ON_SECOND = 'two-nodes-second';
const ON_EITHER = 'two-nodes-either';
const REPLICAS = 4;
/** One that nobody is told to listen on. */
const OTHER_PORT = 9_999;
const METADATA = '169.254.169.254';

/** Says whose instance it is, listens where it should not, and tries connections. */
const SOURCE = `
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
await once(createServer((socket) => socket.end()).listen(${OTHER_PORT}, '0.0.0.0'), 'listening');
export const handler = async ({ host, port }) => {
  if (host === undefined) return { claim: process.env.CLAIM };
  const socket = connect({ host, port, timeout: 2000 });
  socket.once('timeout', () => socket.destroy(new Error('timeout')));
  try { await once(socket, 'connect'); return { isOpen: true }; } catch { return { isOpen: false }; } finally { socket.destroy(); }
};
`;

describe.skipIf(access?.own === undefined)('two nodes', () => {
  let kubectl: Kubectl;
  let codeServer: CodeServer;
  let claimant: Claimant;
  let second: SecondNode;
  let twoOperators: AsyncDisposable;

  const code = (note: string) => codeServer.add('index.mjs', `// ${note}\n${SOURCE}`);
  const pods = (namespace: string, selector: string): Promise<PodObject[]> =>
    kubectl.list<PodObject>(namespace, 'pods', `--selector=${selector}`);
  const onSecond = async (namespace: string, selector: string): Promise<PodObject> => {
    const found = (await pods(namespace, selector)).find(({ spec }) => spec.nodeName === SECOND_NODE);
    if (found === undefined) throw new Error(`no pod with ${selector} on ${SECOND_NODE}`);
    return found;
  };
  const nodeOf = async ({ pod }: Claim): Promise<string | undefined> =>
    (await kubectl.get<PodObject>(POOL_NAMESPACE, 'pod', pod?.name ?? '')).spec.nodeName;
  const claim = (pool: string, claimId: string, of = code('any')): Promise<Claim> =>
    claimant.claim(pool, claimId, { code: of });

  beforeAll(async () => {
    if (access === undefined || access.own === undefined) return;
    const product = await startProduct(access, 'two-nodes');
    ({ kubectl, codeServer } = product);
    second = await SecondNode.join(access, kubectl);
    twoOperators = await installTwoOperators(kubectl);
    const at = (hostname: string) => ({ podSpec: { nodeSelector: { 'kubernetes.io/hostname': hostname } } });
    const labelSelector = { matchLabels: { 'warmpool.dev/pool': ON_EITHER } };
    const spread = { topologyKey: 'kubernetes.io/hostname', maxSkew: 1, whenUnsatisfiable: 'ScheduleAnyway' };
    const standby = { readySeconds: 20 };
    await Promise.all([
      createPool(kubectl, ON_FIRST, 1, at(NODE_NAME)),
      createPool(kubectl, ON_SECOND, 1, at(SECOND_NODE)),
      createPool(kubectl, ON_EITHER, REPLICAS, {
        podSpec: { topologySpreadConstraints: [{ ...spread, labelSelector }] },
        standby,
      }),
    ]);
    claimant = new Claimant(product.platform, (claimId) => ({
      claimId,
      function: { name: 'two-nodes', version: '1', tenant: 'acme' },
      handler: 'index.handler',
      env: { CLAIM: claimId },
    }));
  });
  afterAll(async () => {
    await claimant?.releaseAll();
    await kubectl?.run(['delete', 'warmpools', ON_FIRST, ON_SECOND, ON_EITHER, '--namespace', POOL_NAMESPACE]);
    await second?.[Symbol.asyncDispose]();
    await twoOperators?.[Symbol.asyncDispose]();
    await codeServer?.[Symbol.asyncDispose]();
  });

  test('a pool that is spread gives instances of both, each with its own code', async () => {
    const claimIds = Array.from({ length: REPLICAS }, (_, at) => `spread-${at}`);
    const claims = await Promise.all(claimIds.map((claimId) => claim(ON_EITHER, claimId)));
    expect(new Set(await Promise.all(claims.map(nodeOf)))).toEqual(new Set([NODE_NAME, SECOND_NODE]));
    expect(await Promise.all(claims.map((each) => claimant.invoke(each)))).toEqual(claimIds);
    await claimant.releaseAll();
    await untilFull(kubectl, ON_EITHER, REPLICAS);
  });

  test('code goes from node to node when the store has it no more, and claims go where their code is', async () => {
    const rare = code('rare');
    expect(await nodeOf(await claim(ON_SECOND, 'from-store', rare))).toBe(SECOND_NODE);
    codeServer.remove(rare);
    let tries = 0;
    await until('the operator to know who has it', LIMIT_MS, async () => {
      const claimId = `where-it-is-${tries++}`;
      const isThere = (await nodeOf(await claim(ON_EITHER, claimId, rare))) === SECOND_NODE;
      await claimant.release(claimId);
      return isThere;
    });
    expect(await claimant.invoke(await claim(ON_FIRST, 'from-peer', rare))).toBe('from-peer');
    await claimant.releaseAll();
  });

  test('NetworkPolicies leave open what is needed, and nothing else', async () => {
    const instance = await claim(ON_SECOND, 'policies');
    const { host } = instance.address ?? {};
    const [hostAgent, operator] = [
      await onSecond(NODE_NAMESPACE, 'app.kubernetes.io/name=warmpool-host-agent'),
      await onSecond(OPERATOR_NAMESPACE, 'app.kubernetes.io/name=warmpool-operator'),
    ];
    const first = await claim(ON_FIRST, 'policies-first');
    await using _metadata = await second.serveAtGateway(METADATA, 80);
    const fromInstance = async (host: string, port: number): Promise<boolean> => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ host, port });
      const answer = await request(instance.address?.url ?? '', { method: 'POST', headers, body });
      return ((await answer.body.json()) as { isOpen: boolean }).isOpen;
    };
    const open = async (): Promise<Record<string, boolean>> => ({
      'to the instance: serving': await isOpen(host, 8_080),
      'to the instance: other': await isOpen(host, OTHER_PORT),
      'to the host-agent: loads': await isOpen(hostAgent.status.podIP, 8_443),
      'to the host-agent: peers': await isOpen(hostAgent.status.podIP, 8_444),
      'to the host-agent: metrics': await isOpen(hostAgent.status.podIP, 8_081),
      'to the operator: claims': await isOpen(operator.status.podIP, 8_080),
      'to the operator: metrics': await isOpen(operator.status.podIP, 8_081),
      'from the instance: store': await fromInstance(...addressOf(code('any').url)),
      'from the instance: other instance': await fromInstance(...addressOf(first.address?.url)),
      'from the instance: metadata service': await fromInstance(METADATA, 80),
    });
    const before = await open();
    expect(Object.entries(before).filter(([, is]) => !is)).toEqual([]);
    await second.enforcePolicies();
    expect(await open()).toEqual({
      ...before,
      'to the instance: other': false,
      'to the host-agent: loads': false,
      'to the host-agent: peers': false,
      'to the host-agent: metrics': false,
      'to the operator: metrics': false,
      'from the instance: metadata service': false,
    });
    await claimant.releaseAll();
  });

  test('and with them the whole way works: new pods, fetched code, code for a peer', async () => {
    await untilRolledOut(kubectl);
    await untilFull(kubectl, ON_SECOND, 1);
    const fresh = code('fresh');
    expect(await claimant.invoke(await claim(ON_SECOND, 'under-policies', fresh))).toBe('under-policies');
    codeServer.remove(fresh);
    expect(await claimant.invoke(await claim(ON_FIRST, 'peer-under-policies', fresh))).toBe('peer-under-policies');
    await claimant.releaseAll();
  });

  test('a node that is cut off and comes back: claims go on elsewhere, its instances are kept, and what was ended meanwhile is gone', async () => {
    await Promise.all([untilFull(kubectl, ON_EITHER, REPLICAS), untilFull(kubectl, ON_SECOND, 1)]);
    const ended = await claim(ON_SECOND, 'ended-in-the-dark');
    const kept = await claim(ON_SECOND, 'kept-in-the-dark');
    {
      await using _cut = await second.cutOff();
      const startedMs = performance.now();
      // as many as there are pods, of code that no node has: some of them meet the node that is cut off
      const claimIds = Array.from({ length: REPLICAS }, (_, at) => `meanwhile-${at}`);
      const elsewhere = code('elsewhere');
      const claims = await Promise.all(claimIds.map((claimId) => claim(ON_EITHER, claimId, elsewhere)));
      const tookMs = Math.round(performance.now() - startedMs);
      process.stdout.write(`${REPLICAS} claims took ${tookMs} ms when a node was just cut off\n`);
      expect(new Set(await Promise.all(claims.map(nodeOf)))).toEqual(new Set([NODE_NAME]));
      expect(await Promise.all(claims.map((each) => claimant.invoke(each)))).toEqual(claimIds);
      await claimant.release('ended-in-the-dark');
      await until('the node to be NotReady', LIMIT_MS, async () => !(await isNodeReady(kubectl, SECOND_NODE)));
    }
    await until('the node to be Ready', LIMIT_MS, () => isNodeReady(kubectl, SECOND_NODE));
    expect(await claimant.invoke(kept)).toBe('kept-in-the-dark');
    expect((await claim(ON_SECOND, 'kept-in-the-dark')).pod).toEqual(kept.pod);
    await Promise.all([untilFull(kubectl, ON_EITHER, REPLICAS), untilFull(kubectl, ON_SECOND, 1)]);
    await until('nothing to be left over', LIMIT_MS, async () => {
      const all = await kubectl.list<PodObject>('', 'pods', '--all-namespaces');
      expect(all.map(({ metadata }) => metadata.uid)).not.toContain(ended.pod?.uid);
      const found = await Promise.all(
        [
          [NODE_NAME, access?.own?.nodeFolder ?? ''],
          [SECOND_NODE, second.folder],
        ].map(async ([name, folder = '']) =>
          nodeProblems(
            await readNode(folder),
            all.filter(({ spec }) => spec.nodeName === name),
          ),
        ),
      );
      expect(found).toEqual([[], []]);
      return true;
    });
    await claimant.releaseAll();
  });

  test('a node that is lost with the operator on it: the other serves, the pool fills, and its claims are told', async () => {
    await untilFull(kubectl, ON_EITHER, REPLICAS);
    await claim(ON_SECOND, 'lost');
    const kept = await claim(ON_FIRST, 'kept');
    await untilServing(SECOND_NODE);
    await second.lose();
    const startedMs = performance.now();
    const after = await claim(ON_EITHER, 'after');
    process.stdout.write(`claims were served again ${Math.round(performance.now() - startedMs)} ms after the loss\n`);
    expect(await nodeOf(after)).toBe(NODE_NAME);
    expect([await claimant.invoke(after), await claimant.invoke(kept)]).toEqual(['after', 'kept']);
    await until('the pool to be full on the node that is left', LIMIT_MS, async () => {
      const standby = await pods(POOL_NAMESPACE, `warmpool.dev/pool=${ON_EITHER},warmpool.dev/state=standby`);
      return standby.filter(({ spec }) => spec.nodeName === NODE_NAME).length === REPLICAS;
    });
    await kubectl.run(['delete', 'node', SECOND_NODE]);
    await until(
      'the claim to be told lost',
      NODE_GONE_LIMIT_MS,
      async () => (await claimant.state('lost')) === 'failed',
    );
    claimant.held.delete('lost');
    await claimant.releaseAll();
  });

  /** One of the two replicas, whichever served before. */
  async function untilServing(nodeName: string): Promise<void> {
    await until(`the operator on ${nodeName} to serve`, LIMIT_MS, async () => {
      const [serving] = await pods(OPERATOR_NAMESPACE, 'warmpool.dev/serving=true');
      if (serving?.spec.nodeName === nodeName) return true;
      if (serving !== undefined)
        await kubectl.run(['delete', 'pod', serving.metadata.name, '--namespace', OPERATOR_NAMESPACE]);
      return false;
    });
    await untilRolledOut(kubectl);
  }
});

function addressOf(url = ''): [host: string, port: number] {
  const { hostname, port } = new URL(url);
  return [hostname, Number(port)];
}

async function isOpen(host: string | undefined, port: number): Promise<boolean> {
  if (host === undefined) throw new Error('an address is not known yet');
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(2_000) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
