/** Why local mode cannot go on, with a stable code, a sentence for a person and the status that the program exits with. */
const EXIT_STATUS = {
  PoolFilesInvalid: 2,
  FunctionFileInvalid: 2,
  SocketPathTooLong: 2,
  FunctionLinkUnsupported: 2,
  ReaperUnavailable: 1,
  HostAgentUnavailable: 1,
  PortInUse: 1,
  DemoFailed: 1,
  NoFreePort: 1,
} as const;
export type LocalErrorCode = keyof typeof EXIT_STATUS;

export class LocalError extends Error {
  override readonly name = 'LocalError';
  readonly code: LocalErrorCode;
  readonly exitStatus: number;

  constructor(code: LocalErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.exitStatus = EXIT_STATUS[code];
  }
}

/** What was thrown, as words. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isErrno(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
