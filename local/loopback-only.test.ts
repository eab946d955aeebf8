import Fastify from 'fastify';
import { answerErrors } from '@warmpool/operator/http/errors.ts';
import { describe, expect, it } from 'vitest';
import { loopbackOnly } from './loopback-only.ts';

function api() {
  const app = Fastify();
  answerErrors(app);
  loopbackOnly(app);
  app.get('/', () => 'here');
  return app;
}

describe('local mode', () => {
  it.each(['localhost:8080', '127.0.0.1:1', '[::1]:8080'])('answers when called as %s', async (host) => {
    expect((await api().inject({ url: '/', headers: { host } })).statusCode).toBe(200);
  });

  it.each(['evil.example:8080', '127.0.0.1.evil.example', '10.0.0.1'])('refuses to be called as %s', async (host) => {
    const reply = await api().inject({ url: '/', headers: { host } });
    expect(reply.statusCode).toBe(403);
    expect(reply.json()).toMatchObject({ code: 'HostNotAllowed' });
  });
});
