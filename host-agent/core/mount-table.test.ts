import { describe, expect, test } from 'vitest';
import { mountsAt, mountsWithin, parseMountTable } from './mount-table.ts';

const TABLE = [
  '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard',
  '30 22 0:39 / /k/pods/a/mount rw,nosuid,nosymfollow shared:3 - tmpfs code.warmpool.dev rw,size=256k',
  '31 30 254:0 /cache/sha256/k1/tree /k/pods/a/mount/code ro,nosuid shared:4 master:2 - ext4 /dev/vda rw',
  '32 22 0:40 / /k/pods/a\\040b\\134c rw - tmpfs two\\040words rw',
  '33 22 0:41 / /k/pods/ab rw - tmpfs other rw',
  '34 22 0:42 / /k/gone//deleted rw - tmpfs gone rw',
  'not a mount',
  '',
].join('\n');

describe('the mount table', () => {
  const table = parseMountTable(TABLE);

  test('says what is shown where, and how', () => {
    expect(mountsAt(table, '/k/pods/a/mount/code')).toEqual([
      {
        device: '254:0',
        root: '/cache/sha256/k1/tree',
        mountPoint: '/k/pods/a/mount/code',
        options: new Set(['ro', 'nosuid']),
        fsType: 'ext4',
        source: '/dev/vda',
      },
    ]);
    expect(mountsAt(table, '/k/pods/a b\\c')).toMatchObject([{ source: 'two words' }]);
  });

  test('lists what is within a path, the innermost first, and no neighbour with a longer name', () => {
    const within = mountsWithin(table, '/k/pods/a').map(({ mountPoint }) => mountPoint);
    expect(within).toEqual(['/k/pods/a/mount/code', '/k/pods/a/mount']);
  });

  test('leaves out a mount whose mount point was deleted', () => {
    expect(mountsWithin(table, '/k/gone')).toEqual([]);
  });
});
