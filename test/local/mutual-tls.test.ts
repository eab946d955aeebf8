import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addLoadRoutes } from '@warmpool/host-agent/http/load-routes.ts';
import { createServer } from '@warmpool/host-agent/http/server.ts';
import type { LoadService } from '@warmpool/host-agent/load/load-service.ts';
import { ADMITTED, namedOnly, type NamedOnly } from '@warmpool/host-agent/tls/named-only.ts';
import { firstTlsFiles, followTlsFiles, type TlsFiles } from '@warmpool/host-agent/tls/tls-files.ts';
import type { OperatorTls } from '@warmpool/operator/certificates/certificate-keeper.ts';
import { issueAuthority, issueLeaf, type KeyPair } from '@warmpool/operator/certificates/issue.ts';
import { HttpHostAgentClient } from '@warmpool/operator/host-agents/http-host-agent-client.ts';
import { MutualTls } from '@warmpool/wire/mutual-tls.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { HostLoadReply, HostLoadRequest } from '@warmpool/protocol/host-agent-api.ts';
import { HOST_AGENT_TLS_NAME, OPERATOR_TLS_NAME } from '@warmpool/protocol/names.ts';
import { aClaim } from '../support/builders.ts';

const NODE = 'node-1';
const POD = 'pod-1' as PodUid;
const grantKey = Buffer.from('0123456789abcdef0123456789abcdef');

interface Sides {
  operator: OperatorTls;
  node: TlsFiles;
}

async function issued(authority: KeyPair, trusted = authority.cert): Promise<Sides> {
  const client = await issueLeaf(authority, OPERATOR_TLS_NAME, 'client', Date.now());
  const server = await issueLeaf(authority, HOST_AGENT_TLS_NAME, 'both', Date.now());
  return { operator: { ...client, ca: trusted, grantKey }, node: { ...server, ca: trusted, grantKey } };
}

function aLoad(claimId: string): HostLoadRequest {
  const { claimId: id, function: fn, kind, handler, code, env, service, limits } = aClaim(claimId);
  const deadlineUnixMs = Date.now() + 2_000;
  const signed = { expiresAtUnixMs: deadlineUnixMs, nonce: '0'.repeat(32), signature: '0'.repeat(64) };
  const grant = { podUid: POD, epoch: 'epoch', claimId: id, fence: 1, ...signed };
  const runtime = { name: 'nodejs', version: '24' };
  return { grant, function: fn, runtime, kind, handler, code, env, service, limits, deadlineUnixMs };
}

function aLoadReply(claimId: string): HostLoadReply {
  const timings = { fetchMs: 0, unpackMs: 0, mountMs: 0, loadMs: 1, importMs: 1, totalMs: 1 };
  const address = { host: '127.0.0.1', port: 1 };
  return { claimId, podUid: POD, epoch: 'epoch', address, codeSource: 'cache', timings };
}

/** A host-agent's HTTPS server; `events` stays open, kills and loads are answered. */
describe('between operator and host-agent', () => {
  let authority: KeyPair;
  let sides: Sides;
  let tls: NamedOnly;
  let app: ReturnType<typeof createServer>;
  let url: string;
  let served: number;
  let refusals: string[];
  let longWay: string[];
  const clients: HttpHostAgentClient[] = [];

  beforeEach(async () => {
    authority = await issueAuthority(Date.now());
    sides = await issued(authority);
    served = 0;
    refusals = [];
    longWay = [];
    tls = namedOnly(OPERATOR_TLS_NAME, sides.node, (reason) => refusals.push(reason));
    const log = pino({ level: 'silent' });
    const bodyLimitBytes = 1024 * 1024;
    app = createServer({ log, serverFactory: tls.serverFactory }, { bodyLimitBytes });
    const loads = {
      load: ({ grant }: HostLoadRequest): Promise<HostLoadReply> => {
        served++;
        return Promise.resolve(aLoadReply(grant.claimId));
      },
    } as unknown as LoadService;
    addLoadRoutes(app, { loads, log }, { bodyLimitBytes, connectionEvent: ADMITTED });
    app.addHook('onRequest', (request, _reply, done) => {
      longWay.push(request.url);
      done();
    });
    app.post('/v1/kill::batch', () => {
      served++;
      return { items: [{ podUid: 'pod-1', statusCode: 202, state: 'running' }] };
    });
    app.get('/v1/events', (_request, reply) => {
      reply.hijack();
      reply.raw.write('{"type":"PING"}\n');
      const timer = setInterval(() => reply.raw.write('{"type":"PING"}\n'), 20);
      reply.raw.once('close', () => clearInterval(timer));
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    url = `https://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await app.close();
  });

  function aClient(with_: OperatorTls = sides.operator): { client: HttpHostAgentClient; tls: MutualTls } {
    const mutual = new MutualTls(HOST_AGENT_TLS_NAME, with_);
    const client = new HttpHostAgentClient([], mutual.connector);
    client.move(NODE, url);
    clients.push(client);
    return { client, tls: mutual };
  }

  const kill = (client: HttpHostAgentClient) => client.kill(NODE, POD, {}, { timeoutMs: 2_000 });
  const load = (client: HttpHostAgentClient) => client.load(NODE, aLoad('claim-1'), { timeoutMs: 2_000 });

  test('the operator is served, its loads on the short way', async () => {
    const { client } = aClient();
    expect(await kill(client)).toMatchObject({ statusCode: 202 });
    expect(await load(client)).toMatchObject({ claimId: 'claim-1' });
    expect(longWay).toEqual(['/v1/kill:batch']);
  });

  async function expectRefused(client: HttpHostAgentClient): Promise<void> {
    await expect(kill(client)).rejects.toThrow();
    await expect(load(client)).rejects.toThrow();
  }

  describe('nobody else is, and nothing of what they send is carried out:', () => {
    test('no certificate', async () => {
      const agent = new Agent({ connect: { ca: authority.cert, servername: HOST_AGENT_TLS_NAME } });
      await expect(request(`${url}/v1/kill:batch`, { method: 'POST', dispatcher: agent })).rejects.toThrow();
      await agent.destroy();
    });

    test('a certificate of another authority with the operator’s name', async () => {
      const other = await issued(await issueAuthority(Date.now()));
      await expectRefused(aClient({ ...other.operator, ca: authority.cert }).client);
    });

    test('a host-agent with its own certificate', async () => {
      await expectRefused(aClient({ ...sides.node }).client);
    });

    test('a client of the right authority with another name', async () => {
      const impostor = await issueLeaf(authority, 'somebody.warmpool.dev', 'client', Date.now());
      await expectRefused(aClient({ ...sides.operator, ...impostor }).client);
    });

    test('plain HTTP', async () => {
      await expect(request(`${url.replace('https', 'http')}/v1/events`)).rejects.toThrow();
    });

    test('TLS 1.2', async () => {
      const { port } = new URL(url);
      const { cert, key } = sides.operator;
      const options = { host: '127.0.0.1', port: Number(port), cert, key, ca: authority.cert } as const;
      await expect(
        new Promise((resolve, reject) => {
          const socket = connect({ ...options, servername: HOST_AGENT_TLS_NAME, maxVersion: 'TLSv1.2' }, () =>
            resolve('in'),
          );
          socket.once('error', reject);
        }),
      ).rejects.toThrow();
    });

    afterEach(() => {
      expect(served).toBe(0);
      expect(refusals.length).toBeGreaterThan(0);
    });
  });

  test('the operator sends nothing to whoever has taken a host-agent’s address', async () => {
    const impostor = await issued(await issueAuthority(Date.now()));
    await expect(kill(aClient({ ...sides.operator, ca: impostor.operator.ca }).client)).rejects.toMatchObject({
      code: 'NoAnswer',
    });
    expect(served).toBe(0);
  });

  test(
    'a change of both certificates and of the authority breaks no connection and no call',
    { timeout: 30_000 },
    async () => {
      const { client, tls: mutual } = aClient();
      const stop = new AbortController();
      let pings = 0;
      let isBroken = false;
      const following = (async () => {
        for await (const _event of client.events(NODE, stop.signal)) pings++;
      })().catch(() => (isBroken = !stop.signal.aborted));
      const calls: Promise<unknown>[] = [];
      const sending = setInterval(() => calls.push(kill(client)), 5);

      // as the operator does it: everybody trusts the next authority, then it signs, then the old one is forgotten
      const next = await issueAuthority(Date.now());
      const both = `${authority.cert}\n${next.cert}`;
      for (const step of [await issued(authority, both), await issued(next, both), await issued(next)]) {
        tls.use(step.node);
        await kill(client);
        mutual.use(step.operator);
        await kill(client);
        // a new connection has to agree with what both have now
        expect(await kill(aClient(step.operator).client)).toMatchObject({ statusCode: 202 });
      }
      clearInterval(sending);
      const outcomes = await Promise.allSettled(calls);
      expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
      const before = pings;
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(pings).toBeGreaterThan(before);
      expect(isBroken).toBe(false);
      stop.abort();
      await following;
      // and whoever has only what the old authority signed is out
      await expect(kill(aClient({ ...sides.operator, ca: next.cert }).client)).rejects.toThrow();
    },
  );

  test('a host-agent that moved is found where it is now', async () => {
    const { client } = aClient();
    client.move(NODE, 'https://127.0.0.1:1');
    await expect(kill(client)).rejects.toMatchObject({ code: 'NoAnswer' });
    client.move(NODE, url);
    expect(await kill(client)).toMatchObject({ statusCode: 202 });
    client.move(NODE, undefined);
    await expect(kill(client)).rejects.toMatchObject({ code: 'UnknownNode' });
  });
});

describe('the mounted files of a host-agent', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'warmpool-tls-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const write = (cert: string): Promise<unknown> =>
    Promise.all(
      ['tls.crt', 'tls.key', 'ca.crt', 'grant.key'].map((name) =>
        writeFile(join(folder, name), name === 'tls.crt' ? cert : name),
      ),
    );

  test('are waited for, and told of when they change', async () => {
    const first = firstTlsFiles(folder, 10_000);
    await write('one');
    const files = await first;
    expect(files.cert).toBe('one');
    const changed = Promise.withResolvers<TlsFiles>();
    const stop = followTlsFiles(folder, files, changed.resolve, changed.reject, 10);
    await write('two');
    expect((await changed.promise).cert).toBe('two');
    stop();
  });

  test('that never come end the program with who should have written them', async () => {
    await expect(firstTlsFiles(folder, 300)).rejects.toThrow(/not complete after 0.3 s .*operator/);
  });
});
