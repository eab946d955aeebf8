import type { Logger } from 'pino';
import { pino } from 'pino';

/** JSON lines on stdout. What may hold a secret is cut out even where somebody logs a whole request by mistake. */
export function createLogger({ nodeName, logLevel }: { nodeName: string; logLevel: string }): Logger {
  return pino({
    level: logLevel,
    base: { program: 'host-agent', node: nodeName },
    redact: {
      paths: ['env', '*.env', 'url', '*.url', 'authorization', '*.authorization', '*.headers.authorization'],
      censor: '[redacted]',
    },
  });
}
