import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface AskedSecret {
  /** `namespace/name` */
  secret: string;
  token: string;
}

/** What of an apiserver a host-agent sees: Secrets by name, for whoever has the token. On loopback, without TLS. */
export class FakeApiserver {
  /** `namespace/name` to its data, as a person writes it. */
  readonly secrets = new Map<string, Record<string, string>>();
  /** `namespace/name` that no Role names. */
  readonly forbidden = new Set<string>();
  readonly asked: AskedSecret[] = [];
  /** Answers with this status instead, so many times. */
  readonly faults: number[] = [];
  token = 'token-1';
  readonly serviceAccountDir: string;
  readonly #server: Server;

  private constructor(folder: string) {
    this.serviceAccountDir = join(folder, 'service-account');
    this.#server = createServer((request, response) => {
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      const [, namespace = '', name = ''] =
        /^\/api\/v1\/namespaces\/([^/]+)\/secrets\/([^/?]+)$/.exec(request.url ?? '') ?? [];
      const secret = `${namespace}/${name}`;
      this.asked.push({ secret, token });
      const data = this.secrets.get(secret);
      const status = this.faults.shift() ?? (token !== this.token ? 401 : this.#statusOf(secret, request.method));
      response.writeHead(status, { 'content-type': 'application/json' });
      const encode = (value: string): string => Buffer.from(value).toString('base64');
      const entries = Object.entries(data ?? {}).map(([key, value]) => [key, encode(value)]);
      const body = { kind: 'Secret', metadata: { namespace, name }, data: Object.fromEntries(entries) as object };
      response.end(JSON.stringify(status === 200 ? body : { kind: 'Status', code: status }));
    });
  }

  /** The files of its service account are in `folder`. */
  static async start(folder: string): Promise<FakeApiserver> {
    const apiserver = new FakeApiserver(folder);
    mkdirSync(apiserver.serviceAccountDir, { recursive: true });
    apiserver.writeToken(apiserver.token);
    await once(apiserver.#server.listen(0, '127.0.0.1'), 'listening');
    return apiserver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get flags(): string[] {
    return ['--apiserver', this.url, '--service-account-dir', this.serviceAccountDir];
  }

  writeToken(token: string): void {
    writeFileSync(join(this.serviceAccountDir, 'token'), token);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #statusOf(secret: string, method: string | undefined): number {
    if (method !== 'GET') return 405;
    if (this.forbidden.has(secret)) return 403;
    return this.secrets.has(secret) ? 200 : 404;
  }
}
