import type { FastifyInstance } from 'fastify';
import { claimError } from '@warmpool/operator/errors.ts';

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Local mode runs whatever code a claim names and asks nobody who they are, so a web page must not be able to reach it by a name of
 * its own that resolves to this machine (DNS rebinding).
 */
export function loopbackOnly(api: FastifyInstance): void {
  api.addHook('onRequest', (request, _reply, done) => {
    if (LOOPBACK_NAMES.has(request.hostname)) return done();
    done(
      claimError(
        'HostNotAllowed',
        `this API is for this machine only; call it as localhost, not as ${request.hostname}`,
      ),
    );
  });
}
