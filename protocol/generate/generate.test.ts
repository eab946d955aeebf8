import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CLAIM_API } from './claim-api-routes.ts';
import { HOST_AGENT_API, RUNTIME_AGENT_API } from './agent-api-routes.ts';
import { fillSections, generatedFiles, PAGES_WITH_SECTIONS } from './files.ts';
import { openApiDocument } from './openapi.ts';
import { toStructural } from './structural.ts';

const repository = join(import.meta.dirname, '../..');
const fileOf = (path: string): string => readFileSync(join(repository, path), 'utf8');

describe('generated files', () => {
  it.each(Object.entries(generatedFiles()))('%s is what the contracts say (npm run generate)', (path, content) => {
    expect(fileOf(path)).toBe(content);
  });

  it.each(PAGES_WITH_SECTIONS)('%s has its generated sections up to date (npm run generate)', (path) => {
    expect(fillSections(fileOf(path))).toBe(fileOf(path));
  });

  it('fills a section between its markers and leaves the prose alone', () => {
    const page = 'before\n<!-- generated:health -->\nold\n<!-- /generated -->\nafter\n';
    const filled = fillSections(page);
    expect(filled).toContain('| `epoch` | string | yes |');
    expect(filled).toMatch(/^before\n[\s\S]*after\n$/);
    expect(filled).not.toContain('old');
    expect(fillSections(filled)).toBe(filled);
  });

  it('names the sections there are when a page asks for another', () => {
    expect(() => fillSections('<!-- generated:nope -->\n<!-- /generated -->')).toThrow('no generated section "nope"');
  });
});

describe('structural schemas', () => {
  it('keep bounds, defaults and Kubernetes extensions, and leave out what the apiserver refuses', () => {
    const schema = z.strictObject({
      size: z.int(),
      port: z.int().min(1).default(80),
      limit: z.string().meta({ 'x-kubernetes-int-or-string': true }),
      labels: z.record(z.string(), z.string().max(63)),
      open: z.looseObject({ a: z.string() }).meta({ 'x-kubernetes-preserve-unknown-fields': true }),
    });
    expect(toStructural(schema)).toEqual({
      type: 'object',
      required: ['size', 'limit', 'labels', 'open'],
      properties: {
        size: { type: 'integer', format: 'int64' },
        port: { type: 'integer', format: 'int64', minimum: 1, default: 80 },
        limit: { 'x-kubernetes-int-or-string': true },
        labels: { type: 'object', additionalProperties: { type: 'string', maxLength: 63 } },
        open: {
          type: 'object',
          required: ['a'],
          properties: { a: { type: 'string' } },
          'x-kubernetes-preserve-unknown-fields': true,
        },
      },
    });
  });

  it.each([
    ['a union', z.object({ a: z.object({ b: z.union([z.string(), z.int()]) }) }), /^a\.b uses "anyOf"/],
    ['a shared schema by reference', z.object({ a: z.string().meta({ id: 'shared' }) }), /\$ref|definitions/],
    ['look-around', z.object({ a: z.string().regex(/^(?!x)/) }), /^a has a pattern with look-around/],
    [
      'a back-reference',
      z.object({ a: z.array(z.string().regex(/(x)\1/)) }),
      /^a\[\] has a pattern with a back-reference/,
    ],
    ['anything at all', z.object({ a: z.unknown() }), /^a has no type/],
    ['a transform', z.object({ a: z.date() }), /Date cannot be represented/],
    ['a map inside', z.object({ a: z.record(z.string(), z.any()) }), /^a/],
  ])('throw with the path on %s', (_, schema, message) => {
    expect(() => toStructural(schema)).toThrow(message);
  });
});

describe('OpenAPI documents', () => {
  const apis = { CLAIM_API, HOST_AGENT_API, RUNTIME_AGENT_API };

  it.each(Object.entries(apis))(
    '%s refers only to components it has, and gives every operation its own id',
    (_, api) => {
      const document = openApiDocument(api) as { components: { schemas: object } };
      const text = JSON.stringify(document);
      for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
        expect(Object.keys(document.components.schemas)).toContain(name);
      }
      const ids = api.routes.map(({ operationId }) => operationId);
      expect(new Set(ids).size).toBe(ids.length);
    },
  );

  it.each(Object.entries(apis))('%s describes every parameter in a path', (_, api) => {
    for (const { path, params } of api.routes) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(Object.keys(params?.shape ?? {}), path).toEqual(inPath);
    }
  });

  it('keeps branded ids as strings with their pattern, and says what may be left out', () => {
    const { components } = openApiDocument(CLAIM_API) as {
      components: { schemas: Record<string, { required: string[]; properties: Record<string, object> }> };
    };
    const claim = components.schemas['ClaimRequest'];
    expect(claim?.required).toEqual(['claimId', 'function', 'code', 'handler']);
    expect(claim?.properties['claimId']).toMatchObject({ type: 'string', pattern: expect.any(String) as string });
  });
});
