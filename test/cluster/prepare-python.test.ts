import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { invokeOnce } from '@warmpool/local/invoke.ts';
import { withOverlay } from '../support/overlay.ts';
import type { CodeServer } from './code-server.ts';
import { type Kubectl, until } from './kubectl.ts';
import { createPool, installProduct, type Platform, POOL_NAMESPACE, startProduct, untilRolledOut } from './product.ts';

const access = inject('cluster');
const own = access?.own;
const POOL = 'prepared-python';
const LIMIT_MS = 60_000;
const RUNTIME = { name: 'python', version: '3.11' };

/** Says what is prepared for it, and whether Python compiled this module itself. */
const MAIN = `
import os, package.m0
def handler(event, context):
    folder = '/run/warmpool/prepared'
    return {
        'prepared': sorted(f'{tag}/{name}' for tag in os.listdir(folder) for name in os.listdir(f'{folder}/{tag}')) if os.path.isdir(folder) else [],
        'name': package.m0.name,
        'line': package.m0.where(),
    }
`;
const MODULE = `
import sys
name = __name__
def where():
    return sys._getframe().f_code.co_filename.rsplit('/', 2)[1:]
`;
/** So many that the tree is mounted as one image where the node's kernel can. */
const MODULES = 100;

interface Seen {
  prepared: string[];
  name: string;
  line: string[];
}

describe.skipIf(own === undefined)('the component prepare-python on a real cluster', () => {
  let kubectl: Kubectl;
  let platform: Platform;
  let codeServer: CodeServer;

  beforeAll(async () => {
    ({ kubectl, platform, codeServer } = await startProduct(access, 'prepare-python-test'));
    const kustomization = { resources: ['../overlays/default'], components: ['../components/prepare-python'] };
    await withOverlay(kustomization, (overlay) => kubectl.run(['apply', '--kustomize', overlay]));
    await untilRolledOut(kubectl);
    await createPool(kubectl, POOL, 1, { runtime: RUNTIME });
  });
  afterAll(async () => {
    if (own === undefined) return;
    await kubectl.run(['delete', 'warmpools', POOL, '--namespace', POOL_NAMESPACE]);
    await installProduct(kubectl);
    await codeServer[Symbol.asyncDispose]();
  });

  test('a function finds its bytecode, made beside the host-agent', { timeout: 180_000 }, async () => {
    const modules = Array.from({ length: MODULES }, (_, at) => ({ name: `package/m${at}.py`, body: MODULE }));
    const files = [{ name: 'main.py', body: MAIN }, { name: 'package/__init__.py', body: '' }, ...modules];
    const code = codeServer.addArchive(tarOf(files), 'tar');
    let claims = 0;
    const seen = async (): Promise<Seen> => {
      const claimId = `prepared-python-${claims++}`;
      const { status, body, claim } = await platform.claim(POOL, {
        claimId,
        function: { name: 'prepared', version: '1', tenant: 'acme' },
        ...{ code, handler: 'main.handler' },
      });
      expect([status, body]).toMatchObject([201, { state: 'ready' }]);
      const wish = { method: 'POST', path: '/', body: {}, expect: { status: 200, contains: '' } } as const;
      const { text } = await invokeOnce(claim.address?.url ?? '', wish);
      await platform.release(claimId);
      return JSON.parse(text) as Seen;
    };
    let last: Seen | undefined;
    await until('bytecode beside the code', LIMIT_MS, async () => {
      last = await seen();
      return last.prepared.length > 0;
    });
    // there for this claim's import, too
    last = await seen();
    const seenAlways = { name: 'package.m0', line: ['package', 'm0.py'] };
    expect(last).toEqual({
      ...seenAlways,
      prepared: [expect.stringMatching(/^python-cpython-311-.*\/modules\.pack$/)],
    });
  });
});
