import { randomBytes } from 'node:crypto';
import { Agent, type Dispatcher, request } from 'undici';
import type { ControlPlaneAccess } from './control-plane.ts';

export interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** Plain requests to the apiserver for what the port has no method for: namespaces, definitions, tables, the scale subresource. */
export class AdminApi implements AsyncDisposable {
  readonly #access: ControlPlaneAccess;
  readonly #dispatcher: Agent;

  constructor(access: ControlPlaneAccess) {
    this.#access = access;
    this.#dispatcher = new Agent({ connections: 4, connect: { ca: access.caPem } });
  }

  async send(
    method: Dispatcher.HttpMethod,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const answer = await request(`${this.#access.url}${path}`, {
      dispatcher: this.#dispatcher,
      method,
      headers: { authorization: `Bearer ${this.#access.token}`, 'content-type': 'application/json', ...headers },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.body.text();
    try {
      return { status: answer.statusCode, body: JSON.parse(text) as Record<string, unknown> };
    } catch {
      return { status: answer.statusCode, body: { message: text } };
    }
  }

  /** Nothing ends it but the end of the control plane: without controllers a namespace is never emptied. */
  async newNamespace(): Promise<string> {
    const name = `test-${randomBytes(6).toString('hex')}`;
    const { status, body } = await this.send('POST', '/api/v1/namespaces', { metadata: { name } });
    if (status !== 201) throw new Error(`namespace ${name} was refused: ${JSON.stringify(body)}`);
    return name;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.close();
  }
}
