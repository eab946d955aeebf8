/** One line of /proc/<pid>/mountinfo, as far as it matters here. */
export interface Mount {
  /** `major:minor`: with `root`, what is shown; two mounts of the same folder agree in both. */
  device: string;
  /** The folder of the file system that is shown. */
  root: string;
  mountPoint: string;
  options: ReadonlySet<string>;
  fsType: string;
  source: string;
}

/** In the kernel's order. A mount whose mount point has been deleted is in nobody's way and left out. */
export function parseMountTable(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [, , device, root, mountPoint, options] = before.split(' ');
    const [fsType, source] = after.split(' ');
    if (device === undefined || root === undefined || mountPoint === undefined || options === undefined) return [];
    if (fsType === undefined || source === undefined || mountPoint.endsWith('//deleted')) return [];
    return [
      {
        device,
        root: unescape(root),
        mountPoint: unescape(mountPoint),
        options: new Set(options.split(',')),
        fsType,
        source: unescape(source),
      },
    ];
  });
}

/** Mounts at a path, topmost last. */
export function mountsAt(table: readonly Mount[], path: string): Mount[] {
  return table.filter(({ mountPoint }) => mountPoint === path);
}

/** Everything mounted at or below a path, in the order in which it can be taken away. */
export function mountsWithin(table: readonly Mount[], path: string): Mount[] {
  return table
    .filter(({ mountPoint }) => mountPoint === path || mountPoint.startsWith(`${path}/`))
    .toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
}

/** Space, tab, newline and backslash come as three octal digits; other bytes as they are. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
