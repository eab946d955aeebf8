import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { LoadGrant, SidecarLoad } from '@warmpool/protocol/host-agent-api.ts';
import { systemClock as clock } from '../clock.ts';
import { reloadSidecars } from './reload-sidecars.ts';

/** What a sidecar may put into its folder is not to be trusted: this program is root on the node. */

let root: string;
let folder: string;
const servers: Server[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sidecar-'));
  folder = join(root, 'pod/proxy');
  mkdirSync(folder, { recursive: true });
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(root, { recursive: true, force: true });
});

const SERVICE = { name: 'checkout', note: 'two\nlines\u0007' };
const podUid = 'pod' as PodUid;

function reload(change: Partial<SidecarLoad> = {}, signal = new AbortController().signal): Promise<void> {
  const grant = { podUid } as LoadGrant;
  const sidecar: SidecarLoad = { name: 'proxy', reload: 'HTTP', timeoutMs: 10_000, ...change };
  const deps = { clock, folderOf: (uid: string, name: string) => join(root, uid, name) };
  return reloadSidecars(deps, { grant, service: SERVICE, deadlineUnixMs: clock.now() + 60_000 }, [sidecar], signal);
}

function listens(path: string, answer: RequestListener): Promise<void> {
  const server = createServer(answer);
  servers.push(server);
  return new Promise((resolve) => server.listen(path, resolve));
}

describe('a reload by HTTP', () => {
  it('waits for the socket, and tells the service and nothing else', async () => {
    const told: unknown[] = [];
    const reloading = reload();
    await listens(join(folder, 'reload.sock'), (request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        told.push(request.method, request.url, JSON.parse(body));
        response.writeHead(204).end();
      });
    });
    await reloading;
    expect(told).toEqual(['POST', '/reload', SERVICE]);
    expect(JSON.parse(readFileSync(join(folder, 'service.json'), 'utf8'))).toEqual(SERVICE);
    // one entry a line, whatever the value holds
    expect(readFileSync(join(folder, 'service.txt'), 'utf8')).toBe('name checkout\nnote two lines \n');
  });

  it('that is refused is told in the sidecar’s own words, on one line and bounded', async () => {
    await listens(join(folder, 'reload.sock'), (_, response) => {
      response.writeHead(500);
      response.end(`no\nroute\u001b[31m ${'x'.repeat(100_000)}`);
    });
    const error = await reload().catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ code: 'SidecarFailed', status: 502 });
    expect(error?.message).toMatch(/^sidecar proxy of pod pod answered POST \/reload with 500 no route\[31m x+$/);
    expect(error?.message.length).toBeLessThan(400);
  });

  it('that nobody answers ends with its time limit', async () => {
    await listens(join(folder, 'reload.sock'), () => {});
    await expect(reload({ timeoutMs: 300 })).rejects.toThrow(/did not answer POST \/reload within \d+ ms$/);
  });

  it('of a sidecar that is not there says so', async () => {
    await expect(reload({ timeoutMs: 50 })).rejects.toThrow(/proxy .* does not listen on reload.sock \(within 50 ms\)/);
    await expect(reload({ timeoutMs: 50, name: 'other' })).rejects.toThrow(/other .* its container did not start/);
  });

  it('ends when nobody waits for it any more', async () => {
    const gone = new AbortController();
    const reloading = reload({}, gone.signal);
    gone.abort(new Error('nobody waits'));
    await expect(reloading).rejects.toThrow(/nobody waits/);
  });

  it('never follows a link to a socket of the node', async () => {
    let asked = 0;
    await listens(join(root, 'node.sock'), (_, response) => {
      asked++;
      response.end();
    });
    symlinkSync(join(root, 'node.sock'), join(folder, 'reload.sock'));
    await expect(reload()).rejects.toThrow(/made something at reload.sock that is not a socket$/);
    expect(asked).toBe(0);
  });

  it('never writes through a link to a file of the node', async () => {
    writeFileSync(join(root, 'node-file'), 'as it was');
    symlinkSync(join(root, 'node-file'), join(folder, 'service.json'));
    await listens(join(folder, 'reload.sock'), (_, response) => response.writeHead(204).end());
    await reload();
    expect(readFileSync(join(root, 'node-file'), 'utf8')).toBe('as it was');
    expect(JSON.parse(readFileSync(join(folder, 'service.json'), 'utf8'))).toEqual(SERVICE);
  });

  it('never uses a folder that is a link', async () => {
    rmSync(folder, { recursive: true });
    mkdirSync(join(root, 'elsewhere'));
    symlinkSync(join(root, 'elsewhere'), folder);
    await expect(reload()).rejects.toThrow(/ENOTDIR|ELOOP/);
    expect(existsSync(join(root, 'elsewhere/service.json'))).toBe(false);
  });
});

describe('a reload by script', () => {
  const script = (change: Partial<SidecarLoad> = {}): Promise<void> => reload({ reload: 'Script', ...change });

  it('ends with what the script says', async () => {
    execFileSync('mkfifo', [join(folder, 'reload')]);
    const ran = spawn('sh', ['-c', 'read -r word < reload; echo "$word" > word; : > reloaded'], { cwd: folder });
    await script();
    expect(readFileSync(join(folder, 'word'), 'utf8')).toBe('reload\n');
    ran.kill();
  });

  it('never writes to a file in the place of the pipe, nor reads a link in the place of the answer', async () => {
    writeFileSync(join(folder, 'reload'), '');
    await expect(script()).rejects.toThrow(/made something at reload that is not a named pipe$/);
    rmSync(join(folder, 'reload'));
    execFileSync('mkfifo', [join(folder, 'reload')]);
    writeFileSync(join(root, 'secret'), 'of the node');
    const ran = spawn('sh', ['-c', 'read -r _ < reload; ln -s ../../secret failed'], { cwd: folder });
    const error = await script().catch((thrown: unknown) => thrown as Error);
    expect(error?.message).toMatch(/^sidecar proxy/);
    expect(error?.message).not.toContain('of the node');
    ran.kill();
  });
});
