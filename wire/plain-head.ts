export const HEAD_END = '\r\n\r\n';
export const HEAD_LIMIT_BYTES = 16 * 1024;

const REQUEST_LINE = /^(GET|POST|DELETE) (\/[\w.~!$&'()*+,;=:@/-]*)(?:\?([\x21-\x7e]*))? HTTP\/1\.1$/;
const NOT_PLAIN_TEXT = /[^\t\x20-\x7e]/;
/** These change how a message is framed or answered. */
const UNUSUAL_HEADERS = new Set(['transfer-encoding', 'expect', 'upgrade', 'trailer', 'te']);

export interface PlainHead {
  method: string;
  /** Without escapes: a path with `%` is not plain. */
  path: string;
  query: string;
  headers: Record<string, string>;
  /** Where the body begins and ends, counted from the request's first byte. */
  bodyStart: number;
  bodyEnd: number;
}

/** Reads the head of a request that leaves nothing to interpretation; `undefined` for every other. */
export function parsePlainHead(text: string, bodyStart: number): PlainHead | undefined {
  const [requestLine = '', ...lines] = text.split('\r\n');
  const [, method = '', path, query = ''] = REQUEST_LINE.exec(requestLine) ?? [];
  if (path === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const isPlainName = colon > 0 && !/\s/.test(name) && !(name in headers) && !UNUSUAL_HEADERS.has(name);
    if (!isPlainName || NOT_PLAIN_TEXT.test(line)) return undefined;
    headers[name] = line.slice(colon + 1).trim();
  }
  const { host, connection = 'keep-alive', 'content-length': length = method === 'POST' ? '' : '0' } = headers;
  if (host === undefined || connection.toLowerCase() !== 'keep-alive' || !/^\d{1,9}$/.test(length)) return undefined;
  return { method, path, query, headers, bodyStart, bodyEnd: bodyStart + Number(length) };
}
