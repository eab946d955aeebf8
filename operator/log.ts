import { pino, type Logger } from 'pino';

/** JSON lines on stdout. Whatever is passed in by mistake, env, credentials and bodies stay out. */
export function createLogger(program: string, level: string): Logger {
  return pino({
    level,
    base: { program },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: [
        'env',
        '*.env',
        'body',
        '*.body',
        'request.body',
        'headers.authorization',
        '*.headers.authorization',
        'grantKey',
        '*.grantKey',
        'signature',
        '*.signature',
      ],
      censor: '[redacted]',
    },
  });
}
