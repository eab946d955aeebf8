import { once } from 'node:events';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FakeAgentOptions } from './fake-agent.ts';
import { FakeAgent } from './fake-agent.ts';
import { HostAgentProcess } from './host-agent-process.ts';
import { tarOf } from './tar-builder.ts';
import { digestOf } from './unpacking.ts';

/** What a claim says of code in the folder store. */
export interface StoredCode {
  key: string;
  digest: string;
  format: string;
}

/** A node with real host-agent processes and fake pods; everything it started ends with `close`. */
export class NodeUnderTest {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'warmpool-host-agent-')));
  readonly #hosts: HostAgentProcess[] = [];
  readonly #agents: FakeAgent[] = [];
  readonly #servers: Server[] = [];

  async host(flags: string[] = [], wrapper: string[] = []): Promise<HostAgentProcess> {
    const host = await HostAgentProcess.start(this.folder, flags, {}, wrapper);
    this.#hosts.push(host);
    return host;
  }

  async pod(podUid: string, options: Partial<FakeAgentOptions> = {}): Promise<FakeAgent> {
    const agent = await FakeAgent.start({ podsDir: join(this.folder, 'pods'), podUid, ...options });
    this.#agents.push(agent);
    return agent;
  }

  /** Puts an archive in the folder store and returns how a claim names it. With more files, `lib/<n>.js` holds the source and `<n>`. */
  stored(key: string, source = 'exports.handler = () => 1', files = 1): StoredCode {
    const more = Array.from({ length: files - 1 }, (_, index) => ({
      name: `lib/${index}.js`,
      body: `${source} ${index}`,
    }));
    const bytes = tarOf([{ name: 'index.js', body: source }, ...more]);
    writeFileSync(join(this.folder, 'store', key), bytes);
    return { key, digest: digestOf(bytes), format: 'tar' };
  }

  /** An HTTP server on loopback, or on a unix socket; returns its origin. */
  async server(listener: RequestListener, path?: string): Promise<string> {
    const server = createServer(listener);
    this.#servers.push(server);
    await once(path === undefined ? server.listen(0, '127.0.0.1') : server.listen(path), 'listening');
    return path ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    for (const host of this.#hosts) await host.end('SIGKILL');
    for (const agent of this.#agents) await agent.stop();
    for (const server of this.#servers) server.close().closeAllConnections();
  }
}
