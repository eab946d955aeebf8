import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { ObjectServer } from '@warmpool/host-agent/testing/object-server.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';
import { issueAuthority, issueLeaf, type KeyPair } from '@warmpool/operator/certificates/issue.ts';
import { CodeSpread } from '@warmpool/operator/claims/code-spread.ts';
import { followNode } from '@warmpool/operator/claims/node-follower.ts';
import { NodeView } from '@warmpool/operator/claims/node-view.ts';
import { systemClock as clock } from '@warmpool/operator/engine/clock.ts';
import { silentLog } from '@warmpool/operator/engine/log.ts';
import { HttpHostAgentClient } from '@warmpool/operator/host-agents/http-host-agent-client.ts';
import { MutualTls } from '@warmpool/wire/mutual-tls.ts';
import { prefetchOnNode } from '@warmpool/operator/prefetch/prefetch-on-node.ts';
import { codeSchema, type CodeReference } from '@warmpool/protocol/fields.ts';
import { HOST_AGENT_TLS_NAME, OPERATOR_TLS_NAME } from '@warmpool/protocol/names.ts';
import type { PrefetchNode } from '@warmpool/protocol/prefetch-api.ts';
import { missingForNodeNetworks, NodeNetworks } from '../support/node-networks.ts';

const NODES = 8;
const SIZE_BYTES = 24 * 1024 * 1024;
const LIMIT_MS = 60_000;
const missing = missingForNodeNetworks();
if (missing !== undefined) process.stdout.write(`skipped: host-agents that give code to each other: ${missing}\n`);

/** Eight host-agents, each in a network of its own, over mutual TLS; this process is the operator and the store. */
describe.skipIf(missing !== undefined)('host-agents of eight nodes', () => {
  const grantKey = Buffer.from('a key that only this test knows, and it is long');
  let networks: NodeNetworks;
  let folder: string;
  let authority: KeyPair;
  let operator: KeyPair;
  const agents: HostAgentProcess[] = [];
  let client: HttpHostAgentClient;
  let view: NodeView;
  let spread: CodeSpread;
  let store: ObjectServer;
  /** Addresses that read the store. */
  const readers = new Set<string>();
  const stop = new AbortController();
  let following: Promise<void>[] = [];

  beforeAll(async () => {
    networks = new NodeNetworks(NODES);
    authority = await issueAuthority(Date.now());
    operator = await issueLeaf(authority, OPERATOR_TLS_NAME, 'client', Date.now());
  });

  beforeAll(async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'warmpool-peers-')));
    store = new ObjectServer();
    store.intercept = ({ socket }) => {
      readers.add(socket.remoteAddress ?? '');
      return false;
    };
    const storeUrl = await store.listen(networks.address);
    const tlsDir = join(folder, 'tls');
    mkdirSync(tlsDir);
    const { cert, key } = await issueLeaf(authority, HOST_AGENT_TLS_NAME, 'both', Date.now());
    const files = { 'tls.crt': cert, 'tls.key': key, 'ca.crt': authority.cert, 'grant.key': grantKey };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(tlsDir, name), content);
    const start = async (index: number): Promise<void> => {
      const { address = '', enter = [] } = networks.nodes[index] ?? {};
      const own = join(folder, `node-${index}`);
      mkdirSync(own);
      const flags = [
        ...['--listen', `${address}:8443`, '--peer-listen', `${address}:8444`, '--tls-dir', tlsDir],
        ...['--node-name', `node-${index}`, '--store', `s3://code?endpoint=${storeUrl}`],
        // a busy machine is no reason to read the store
        ...['--peer-patience-ms', '15000'],
        // so that there is time to take away who gives
        ...['--peer-bytes-per-second', String(16 * 1024 * 1024)],
      ];
      agents[index] = await HostAgentProcess.start(own, flags, {}, enter);
    };
    // all at once they would all be late on a machine that has other things to do
    for (let index = 0; index < NODES; index += 2) await Promise.all([start(index), start(index + 1)]);
    const tls = new MutualTls(HOST_AGENT_TLS_NAME, { ...operator, ca: authority.cert });
    client = new HttpHostAgentClient([], tls.connector);
    view = new NodeView();
    spread = new CodeSpread({
      nodesWith: (digest) => view.code.nodesWith(digest),
      peerUrl: (node) => view.peerUrl(node),
    });
    following = networks.nodes.map(({ address }, index) => {
      client.move(`node-${index}`, `https://${address}:8443`);
      const deps = { clock, random: Math.random, hostAgents: client, view, log: silentLog };
      return followNode(deps, `node-${index}`, stop.signal, () => stop.signal);
    });
    await vi.waitFor(() => expect(view.heardNodes).toBe(NODES), { timeout: LIMIT_MS });
  }, 6 * LIMIT_MS);
  afterAll(async () => {
    stop.abort(new Error('the tests are over'));
    await Promise.all(following);
    await client?.close();
    await Promise.all(agents.map((agent) => agent.end('SIGKILL')));
    await store?.close();
    networks?.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    readers.clear();
    store.sentBytes = 0;
  });

  function put(key: string): CodeReference {
    const bytes = tarOf([{ name: 'data.bin', body: randomBytes(SIZE_BYTES) }]);
    store.objects.set(`code/${key}`, bytes);
    return codeSchema.parse({ key, digest: digestOf(bytes), format: 'tar' });
  }

  /** As the operator does it. */
  async function bring(code: CodeReference, node: string): Promise<PrefetchNode> {
    const item: PrefetchNode = { node, state: 'waiting', receivedBytes: 0 };
    const arrival = spread.begin(code.digest, node);
    const grants = {
      grantKey: createSecretKey(grantKey),
      randomHex: (bytes: number) => randomBytes(bytes).toString('hex'),
    };
    const deps = { clock, random: Math.random, hostAgents: client, ...grants };
    const wish = { code, access: undefined, peers: arrival?.peers, item };
    await prefetchOnNode(deps, { ...wish, isWanted: () => !stop.signal.aborted });
    arrival?.end(item.state === 'cached' ? 'arrived' : 'failed');
    return item;
  }
  const nodeNames = Array.from({ length: NODES }, (_, index) => `node-${index}`);

  test('that need the same code at once get it from each other: half of them at most read the store, on a machine with other things to do', async () => {
    const code = put('a.tar');
    const items = await Promise.all(nodeNames.map((node) => bring(code, node)));
    expect(items.map(({ state, error }) => error ?? state)).toEqual(nodeNames.map(() => 'cached'));
    // two, as the simulation shows; one more for each that asks a node which has not begun yet
    expect(readers.size).toBeGreaterThanOrEqual(1);
    expect(readers.size).toBeLessThanOrEqual(NODES / 2);
    expect(store.sentBytes).toBeLessThan((NODES / 2 + 0.1) * SIZE_BYTES);
    await expect.poll(() => view.code.nodesWith(code.digest)?.size, { timeout: LIMIT_MS }).toBe(NODES);
    process.stdout.write(
      `${NODES} host-agents, one object: read by ${readers.size} from the store, ${(store.sentBytes / SIZE_BYTES).toFixed(2)} times its size\n`,
    );
  });

  test('give it to nobody but host-agents', async () => {
    const code = put('c.tar');
    await bring(code, 'node-0');
    const url = `https://${networks.nodes[0]?.address}:8444/v1/code/${code.digest.slice('sha256:'.length)}`;
    const ask = async (pair: Partial<KeyPair>): Promise<number> => {
      const agent = new Agent({ connect: { ...pair, ca: authority.cert, servername: HOST_AGENT_TLS_NAME } });
      try {
        const { statusCode, body } = await request(url, { dispatcher: agent });
        await body.dump();
        return statusCode;
      } finally {
        await agent.destroy();
      }
    };
    await expect(ask({})).rejects.toThrow();
    await expect(ask(operator)).rejects.toThrow();
    await expect(
      ask(await issueLeaf(await issueAuthority(Date.now()), HOST_AGENT_TLS_NAME, 'both', Date.now())),
    ).rejects.toThrow();
    expect(await ask(await issueLeaf(authority, HOST_AGENT_TLS_NAME, 'both', Date.now()))).toBe(200);
  });

  test('get it from another when the one that gives is killed on the way', async () => {
    const code = put('b.tar');
    await bring(code, 'node-0');
    store.sentBytes = 0;
    await expect.poll(() => view.code.nodesWith(code.digest)?.size, { timeout: LIMIT_MS }).toBe(1);
    const first = bring(code, 'node-1');
    // node-1 receives from node-0, and the others from both
    const others = nodeNames.slice(2).map((node) => bring(code, node));
    await expect
      .poll(
        async () => (await client.prefetches('node-1', code.digest, { timeoutMs: 5_000 })).items[0]?.receivedBytes,
        {
          timeout: LIMIT_MS,
          interval: 20,
        },
      )
      .toBeGreaterThan(0);
    await agents[0]?.end('SIGKILL');
    const items = await Promise.all([first, ...others]);
    expect(items.map(({ state, error }) => error ?? state)).toEqual(items.map(() => 'cached'));
    expect(store.sentBytes / SIZE_BYTES).toBeLessThanOrEqual(NODES);
  });
});
