import { KubeError } from '../engine/kube-client.ts';

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Expired',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

interface StatusBody {
  code?: number;
  reason?: string;
  message?: string;
  details?: { retryAfterSeconds?: number };
}

/** From an answer that is not a success: a `Status` object, or whatever a proxy in between has said. */
export function errorFromAnswer(status: number, body: string, retryAfter: string | string[] | undefined): KubeError {
  const seconds = Number(retryAfter);
  return errorFromStatus(parseStatus(body) ?? { message: body.trim().slice(0, 512) }, status, {
    ...(retryAfter !== undefined && Number.isFinite(seconds) && { retryAfterSeconds: seconds }),
  });
}

/** From a `Status` object, be it an answer's body or an ERROR event inside a watch. */
export function errorFromStatus(
  body: StatusBody,
  status: number,
  { retryAfterSeconds }: { retryAfterSeconds?: number } = {},
): KubeError {
  // `Gone` and `Expired` call for the same thing: list again.
  const reason = status === 410 ? 'Expired' : body.reason || REASONS[status] || 'Unknown';
  const message = body.message || `the apiserver answered ${status}`;
  return new KubeError(status, reason, message, retryAfterSeconds ?? body.details?.retryAfterSeconds);
}

function parseStatus(body: string): StatusBody | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null && 'kind' in parsed && parsed.kind === 'Status'
      ? (parsed as StatusBody)
      : undefined;
  } catch {
    return undefined;
  }
}

export function networkError(cause: unknown): KubeError {
  if (cause instanceof KubeError) return cause;
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
  const error = new KubeError(0, 'Network', `${cause instanceof Error ? cause.message : String(cause)}${code}`);
  error.cause = cause;
  return error;
}
