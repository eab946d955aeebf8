import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Serves single files of code to the nodes, from this machine's end of the test node's network. */
export class CodeServer implements AsyncDisposable {
  readonly #files = new Map<string, string | Buffer>();
  readonly #host: string;
  readonly #server = createServer((request, response) => {
    const source = this.#files.get(request.url?.slice(1) ?? '');
    response.writeHead(source === undefined ? 404 : 200).end(source);
  });

  private constructor(host: string) {
    this.#host = host;
  }

  static async listen(host: string): Promise<CodeServer> {
    const codeServer = new CodeServer(host);
    await once(codeServer.#server.listen(0, host), 'listening');
    return codeServer;
  }

  /** A claim's `code`. */
  add(fileName: string, source: string): { url: string; digest: string; format: 'file'; fileName: string } {
    return { ...this.#keep(source), format: 'file', fileName };
  }

  /** The same of a packed tree. */
  addArchive<Format extends string>(bytes: Buffer, format: Format): { url: string; digest: string; format: Format } {
    return { ...this.#keep(bytes), format };
  }

  /** From now on it is not found. */
  remove({ url }: { url: string }): void {
    this.#files.delete(new URL(url).pathname.slice(1));
  }

  #keep(content: string | Buffer): { url: string; digest: string } {
    const digest = createHash('sha256').update(content).digest('hex');
    this.#files.set(digest, content);
    const { port } = this.#server.address() as AddressInfo;
    return { url: `http://${this.#host}:${port}/${digest}`, digest: `sha256:${digest}` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
