import { X509Certificate } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { HOST_AGENT_TLS_NAME, OPERATOR_TLS_NAME } from '@warmpool/protocol/names.ts';
import { SECRETS, type Secret } from '../core/resources.ts';
import type { KubeClient } from '../engine/kube-client.ts';
import { silentLog } from '../engine/log.ts';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import { MemoryCluster } from '../memory/memory-cluster.ts';
import { renewedHostAgent } from './authority-secret.ts';
import { AUTHORITY_SECRET, CertificateKeeper, HOST_AGENT_SECRET, type OperatorTls } from './certificate-keeper.ts';
import { issueLeaf } from './issue.ts';

const SYSTEM = 'warmpool-system';
const NODE = 'warmpool-node';
const DAY_MS = 24 * 60 * 60_000;

let clock: VirtualClock;
let kube: KubeClient;
const signal = new AbortController().signal;

beforeEach(async () => {
  clock = new VirtualClock();
  kube = new MemoryCluster({ clock, random: () => 0.5 }).client();
  await kube.create<Secret>(SECRETS, SYSTEM, { metadata: { name: AUTHORITY_SECRET, namespace: SYSTEM } });
  await kube.create<Secret>(SECRETS, NODE, { metadata: { name: HOST_AGENT_SECRET, namespace: NODE } });
});

const aKeeper = (): CertificateKeeper =>
  new CertificateKeeper(
    { clock, random: () => 0.5, kube, log: silentLog },
    { operatorNamespace: SYSTEM, hostAgentNamespace: NODE },
  );

async function files(namespace: string, name: string): Promise<Record<string, string>> {
  const { data = {} } = await kube.get<Secret>(SECRETS, namespace, name);
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
}
const hostAgent = () => files(NODE, HOST_AGENT_SECRET);

/** As TLS does it: some certificate of the bundle has signed this one, both are valid now, and the name is the one wanted. */
function isTrusted(cert: string, bundle: string, name: string): boolean {
  const leaf = new X509Certificate(cert);
  const issuers = (bundle.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []).map(
    (pem) => new X509Certificate(pem),
  );
  const isValid = (each: X509Certificate): boolean =>
    Date.parse(each.validFrom) <= clock.now() && clock.now() < Date.parse(each.validTo);
  const issuer = issuers.find((each) => leaf.checkIssued(each) && leaf.verify(each.publicKey));
  return issuer !== undefined && isValid(issuer) && isValid(leaf) && leaf.checkHost(name) !== undefined;
}

async function expectMutualTrust(operator: OperatorTls): Promise<void> {
  const node = await hostAgent();
  expect(isTrusted(node['tls.crt'] ?? '', operator.ca, HOST_AGENT_TLS_NAME)).toBe(true);
  expect(isTrusted(operator.cert, node['ca.crt'] ?? '', OPERATOR_TLS_NAME)).toBe(true);
  expect(node['grant.key']).toBe(operator.grantKey.toString());
}

test('the first operator makes what both sides need, and the next one finds it', async () => {
  const first = await aKeeper().first(signal);
  await expectMutualTrust(first);
  const before = await hostAgent();
  const second = await aKeeper().first(signal);
  await expectMutualTrust(second);
  expect(second.ca).toBe(first.ca);
  expect(await hostAgent()).toEqual(before);
});

test('replicas that start together end with one authority and one grant key', async () => {
  const all = await Promise.all(Array.from({ length: 4 }, () => aKeeper().first(signal)));
  expect(new Set(all.map(({ ca }) => ca)).size).toBe(1);
  expect(new Set(all.map(({ grantKey }) => grantKey.toString())).size).toBe(1);
  for (const tls of all) await expectMutualTrust(tls);
});

test('the authority’s key is in its own Secret and nowhere else', async () => {
  await aKeeper().first(signal);
  const { 'ca.key': key = 'missing' } = await files(SYSTEM, AUTHORITY_SECRET);
  expect(Object.values(await hostAgent()).join()).not.toContain(key);
  expect(Object.keys(await hostAgent()).sort()).toEqual(['ca.crt', 'grant.key', 'tls.crt', 'tls.key']);
});

test('the operator’s certificate cannot be used as a server; a host-agent’s is also for its requests to other host-agents', async () => {
  const operator = await aKeeper().first(signal);
  expect(new X509Certificate(operator.cert).keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(new X509Certificate((await hostAgent())['tls.crt'] ?? '').keyUsage).toEqual([
    '1.3.6.1.5.5.7.3.1',
    '1.3.6.1.5.5.7.3.2',
  ]);
  expect(new X509Certificate(operator.cert).ca).toBe(false);
});

test('a host-agent’s certificate from before there were peers is replaced', async () => {
  await aKeeper().first(signal);
  const authority = await files(SYSTEM, AUTHORITY_SECRET);
  const pair = { cert: authority['ca.crt'] ?? '', key: authority['ca.key'] ?? '' };
  const { cert, key } = await issueLeaf(pair, HOST_AGENT_TLS_NAME, 'server', Date.now());
  const before = { ...(await hostAgent()), 'tls.crt': cert, 'tls.key': key };
  const after = await renewedHostAgent(before, authority, Date.now());
  expect(after['tls.crt']).not.toBe(cert);
  expect(await renewedHostAgent(after, authority, Date.now())).toBe(after);
});

test('what is lost or broken is made anew', async () => {
  const keeper = aKeeper();
  await keeper.first(signal);
  await kube.patch<Secret>(SECRETS, NODE, HOST_AGENT_SECRET, { data: { 'tls.crt': 'bm90IGEgY2VydGlmaWNhdGU=' } });
  await expectMutualTrust(await keeper.first(signal));
  await kube.patch<Secret>(SECRETS, SYSTEM, AUTHORITY_SECRET, { data: null });
  await expectMutualTrust(await keeper.first(signal));
});

test('a Secret that is not there is told with where it comes from', async () => {
  await kube.delete(SECRETS, NODE, HOST_AGENT_SECRET);
  const failing = aKeeper().first(signal);
  const refusal = expect(failing).rejects.toThrow(
    'Secret warmpool-host-agent-tls is missing in namespace warmpool-node: it comes, empty, with the manifests',
  );
  const told = { isDone: false };
  void refusal.finally(() => (told.isDone = true)).catch(() => undefined);
  while (!told.isDone) {
    await clock.advance(1_000);
    // keys are made outside of virtual time
    await new Promise((resolve) => setImmediate(resolve));
  }
  await refusal;
});

describe('over three years', () => {
  test(
    'both sides trust each other on every day, also when a node gets its files a day late',
    { timeout: 60_000 },
    async () => {
      const keeper = aKeeper();
      let operator = await keeper.first(signal);
      let late = await hostAgent();
      const seen = { authorities: new Set<string>(), leaves: new Set<string>() };
      for (let day = 0; day < 3 * 365; day++) {
        expect(isTrusted(late['tls.crt'] ?? '', operator.ca, HOST_AGENT_TLS_NAME), `server, day ${day}`).toBe(true);
        expect(isTrusted(operator.cert, late['ca.crt'] ?? '', OPERATOR_TLS_NAME), `client, day ${day}`).toBe(true);
        late = await hostAgent();
        await clock.advance(DAY_MS);
        operator = await keeper.first(signal);
        await expectMutualTrust(operator);
        seen.authorities.add((await files(SYSTEM, AUTHORITY_SECRET))['ca.crt'] ?? '');
        seen.leaves.add(late['tls.crt'] ?? '');
      }
      expect(seen.authorities.size).toBeGreaterThanOrEqual(4);
      expect(seen.leaves.size).toBeGreaterThan(3 * 17);
      expect(seen.leaves.size).toBeLessThan(3 * 25);
    },
  );

  test('an operator that was away for a month finds nobody who would not trust it', async () => {
    const keeper = aKeeper();
    await keeper.first(signal);
    await clock.advance(9 * DAY_MS);
    await expectMutualTrust(await aKeeper().first(signal));
    await clock.advance(29 * DAY_MS);
    const node = await hostAgent();
    const back = await aKeeper().first(signal);
    expect(isTrusted(back.cert, node['ca.crt'] ?? '', OPERATOR_TLS_NAME)).toBe(true);
  });
});
