import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock as clock } from '../clock.ts';
import { buildMountHelper, missingForMounts, MountNamespace } from '../testing/mount-namespace.ts';
import { MountError, MountUnavailable, MountUncertain } from './mount-error.ts';
import { Mounter } from './mounter.ts';

const missing = missingForMounts();
if (missing !== undefined) process.stdout.write(`skipped: the mount helper: ${missing}\n`);

const VOLUME = { sizeBytes: 65_536, inodes: 32, folder: 'code' };
let built: string;
let folder: string;
let namespace: MountNamespace;
let problems: unknown[];
const mounters: Mounter[] = [];

beforeAll(() => {
  built = mkdtempSync(join(tmpdir(), 'warmpool-mounter-'));
  if (missing === undefined) buildMountHelper(join(built, 'mount-helper'));
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

beforeEach(async () => {
  if (missing !== undefined) return;
  problems = [];
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'warmpool-mounter-')));
  for (const name of ['cache/tree', 'staging', 'plain/code']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'cache/tree/index.js'), 'the code');
  namespace = await MountNamespace.start([join(folder, 'pods')]);
  mkdirSync(join(folder, 'pods/a'));
});
afterEach(async () => {
  if (missing !== undefined) return;
  for (const mounter of mounters.splice(0)) mounter.close();
  await namespace.close();
  rmSync(folder, { recursive: true });
});

function mounter(...flags: string[]): Mounter {
  const [file = '', ...rest] = [...namespace.enter, join(built, 'mount-helper'), ...flags];
  const made = new Mounter({ clock, onProblem: (error) => problems.push(error) }, [file, ...rest]);
  mounters.push(made);
  return made;
}

describe.skipIf(missing !== undefined)('the mount helper', () => {
  test.each([
    ['the newer calls', []],
    ['mount(2) alone', ['--classic']],
  ])('delivers read-only with %s, also into a namespace that was there before', async (_name, flags) => {
    const hands = mounter(...flags);
    await hands.stage(join(folder, 'cache'), join(folder, 'staging'));
    await hands.mountVolume(join(folder, 'pods/a'), VOLUME);
    const pod = await namespace.receiving();
    await hands.bind(join(folder, 'staging/tree'), join(folder, 'pods/a'), 'code');
    const code = join(folder, 'pods/a/code/index.js');
    expect(pod.run('cat', code)).toBe('the code');
    for (const where of [pod, namespace]) {
      expect(() => where.run('sh', '-c', `echo changed > ${code}`)).toThrow(/Read-only file system/);
    }
    expect(readFileSync(join(folder, 'cache/tree/index.js'), 'utf8')).toBe('the code');

    await expect(hands.mountVolume(join(folder, 'pods/a'), VOLUME)).rejects.toMatchObject({ code: 'EEXIST' });
    const again = hands.bind(join(folder, 'staging/tree'), join(folder, 'pods/a'), 'code');
    await expect(again).rejects.toMatchObject({ code: 'EXDEV' });
    await hands.unmount(join(folder, 'pods/a/code'));
    await hands.unmount(join(folder, 'pods/a'));
    expect(pod.mountsWithin(join(folder, 'pods/a'))).toEqual([]);
    await pod.close();
  });

  test('binds into nothing that is not one of our volumes, and through no link', async () => {
    const hands = mounter();
    await hands.mountVolume(join(folder, 'pods/a'), VOLUME);
    namespace.run('ln', '-s', '/etc', join(folder, 'pods/a/link'));
    const bind = (volume: string, name: string) => hands.bind(join(folder, 'cache/tree'), join(folder, volume), name);
    await expect(bind('plain', 'code')).rejects.toMatchObject({ code: 'ENODEV' });
    await expect(bind('pods/a', 'link')).rejects.toMatchObject({ code: 'ELOOP' });
    await expect(bind('pods/a', '../../plain/code')).rejects.toMatchObject({ code: 'EXDEV' });
    await expect(bind('pods/a', 'nowhere')).rejects.toThrow(/open the mount point failed with ENOENT/);
    expect(
      namespace.mountsWithin(folder).filter(({ mountPoint }) => !mountPoint.startsWith(join(folder, 'pods'))),
    ).toEqual([]);
  });

  test('without a read-only staging mount, mount(2) does not bind at all', async () => {
    const hands = mounter('--classic');
    await hands.mountVolume(join(folder, 'pods/a'), VOLUME);
    const bind = hands.bind(join(folder, 'cache/tree'), join(folder, 'pods/a'), 'code');
    await expect(bind).rejects.toThrow(/the staging mount is not read-only: bind failed with EACCES/);
    expect(namespace.mountsWithin(join(folder, 'pods/a'))).toHaveLength(1);
  });

  test('takes any path, and answers each of many requests for itself', async () => {
    const hands = mounter();
    const odd = join(folder, 'pods', 'a b%\n\\ü');
    mkdirSync(odd);
    await hands.mountVolume(odd, VOLUME);
    const answers = await Promise.allSettled(
      Array.from({ length: 300 }, (_, index) => (index % 3 === 0 ? hands.ping() : hands.unmount(`/nowhere/${index}`))),
    );
    for (const [index, answer] of answers.entries()) {
      if (index % 3 === 0) expect(answer.status).toBe('fulfilled');
      else
        expect(answer).toMatchObject({ reason: { message: expect.stringContaining(`/nowhere/${index}`) as string } });
    }
    await hands.unmount(odd);
    expect(namespace.mountsWithin(join(folder, 'pods'))).toHaveLength(1);
  });

  test('killed: what had no answer is uncertain, and the next request finds another one', async () => {
    const hands = mounter();
    await hands.ping();
    const asked = Array.from({ length: 50 }, () => hands.ping().catch((error: unknown) => error));
    process.kill(hands.pid ?? 0, 'SIGKILL');
    for (const answer of await Promise.all(asked)) {
      if (answer !== undefined) expect(answer).toBeInstanceOf(MountUncertain);
    }
    await expect.poll(() => problems).toHaveLength(1);
    await hands.ping();
  });

  test('that cannot be started is said to be so, and not started again at once each time', async () => {
    const hands = new Mounter({ clock, onProblem: (error) => problems.push(error) }, [join(folder, 'no-such-program')]);
    mounters.push(hands);
    await expect(hands.ping()).rejects.toThrow(MountUncertain);
    await expect(hands.ping()).rejects.toThrow(/ENOENT/);
    await expect(hands.ping()).rejects.toThrow(MountUnavailable);
  });

  test('refuses a request that it does not know', async () => {
    const hands = mounter();
    await expect(hands.unmount('')).rejects.toThrow(MountError);
    await hands.ping();
  });
});
