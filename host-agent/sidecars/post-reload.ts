import { request } from 'node:http';

const MAX_WORDS_BYTES = 1024;

/** `POST /reload` on a sidecar's socket. Resolves when it has answered 2xx, rejects with its words when it has not. */
export function postReload(socketPath: string, json: string, signal: AbortSignal, timeoutMs: number): Promise<true> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'sidecar', 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) };
    const sent = request({ socketPath, method: 'POST', path: '/reload', headers, signal, agent: false });
    const timer = setTimeout(
      () => sent.destroy(new Error(`did not answer POST /reload within ${Math.ceil(timeoutMs)} ms`)),
      timeoutMs,
    );
    sent.once('close', () => clearTimeout(timer));
    sent.on('error', reject);
    sent.once('response', (answer) => {
      const { statusCode = 0 } = answer;
      if (statusCode >= 200 && statusCode < 300) {
        sent.destroy();
        return resolve(true);
      }
      let words = '';
      const refuse = (): void => {
        sent.destroy();
        reject(new Error(`answered POST /reload with ${statusCode} ${words}`.trimEnd()));
      };
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        words = (words + chunk).slice(0, MAX_WORDS_BYTES);
        if (words.length >= MAX_WORDS_BYTES) refuse();
      });
      answer.once('end', refuse);
      answer.once('error', refuse);
    });
    sent.end(json);
  });
}
