import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { PYTHON_FOLDER, pythonRuntime, startPython } from './fixtures-python/python-process.ts';
import type { PythonProcess } from './fixtures-python/python-process.ts';

const runtime = await pythonRuntime();
const missing = 'missing' in runtime ? runtime.missing : undefined;
if (missing !== undefined) console.warn(`pre-import in Python is NOT tested on this machine: ${missing}`);

type Files = Record<string, string>;

/** `tally` needs `abacus`; each remembers the process that ran it. */
const PACKAGES: Files = {
  'tally/__init__.py': `import os, queue
import abacus
from . import rows
try:
    import optional_speedups
except ImportError:
    optional_speedups = None
PID = os.getpid()
HERE = os.path.dirname(__file__)
MODE = os.environ.get("TALLY_MODE")
SEEN = []
def data():
    with open(os.path.join(os.path.dirname(__file__), "data.txt")) as file:
        return file.read()
`,
  'tally/rows.py': 'def fail():\n    raise ValueError("rows")\n',
  'tally/lazy.py': 'import os\nPID = os.getpid()\n',
  'tally/data.txt': 'some data',
  'abacus.py': 'import os\nPID = os.getpid()\n',
};

const FUNCTION = `import json, os, sys, traceback
early = sorted(name for name in sys.modules if name.partition(".")[0] in ("tally", "abacus"))
import tally
import abacus
import tally.lazy
FOLDER = os.getcwd()

def where(pid):
    return "memory" if pid == os.getppid() else "own" if pid == os.getpid() else "nowhere"

def handler(event, context):
    try:
        tally.rows.fail()
    except ValueError as error:
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    tally.SEEN.append(1)
    rest = {
        "early": early,
        "seen": len(tally.SEEN),
        "data": tally.data(),
        "mode": tally.MODE,
        "speedups": str(tally.optional_speedups),
        "frames": [os.path.relpath(frame, FOLDER) for frame in frames],
        "files": [os.path.relpath(module.__file__, FOLDER) for module in (tally, tally.rows, tally.lazy, abacus)],
        "origins": [os.path.relpath(module.__spec__.origin, FOLDER) for module in (tally, abacus)],
        "paths": [os.path.relpath(folder, FOLDER) for folder in tally.__path__],
        "loaders": [type(module.__loader__).__name__ for module in (tally, tally.rows, abacus)],
        "specs": [module.__spec__.loader is module.__loader__ for module in (tally, tally.rows, abacus)],
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("tally", "abacus")),
    }
    return {"tally": where(tally.PID), "abacus": where(abacus.PID), "lazy": where(tally.lazy.PID), "rest": rest}
`;

describe.skipIf(missing !== undefined)('packages that a Python pool pre-imports', () => {
  const present = runtime as PresentRuntime;
  const started: PythonProcess[] = [];
  let pool: string;

  beforeEach(async () => {
    pool = path.join(await mkdtemp(path.join(tmpdir(), 'wp-pool-')), 'site-packages');
    await write(pool, PACKAGES);
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((process) => process.stop()));
    await rm(path.dirname(pool), { recursive: true, force: true });
  });

  const python = async (preImport: string, env: Files = {}): Promise<PythonProcess> => {
    const process = await startPython(present, { PYTHONPATH: pool, WARMPOOL_PRE_IMPORT: preImport, ...env });
    started.push(process);
    return process;
  };
  /** What the function tells whose own packages are those of the pool but for `changes`. */
  const told = async (process: PythonProcess, changes: Files = {}, env: Files = {}) => {
    const files = { 'index.py': FUNCTION, ...PACKAGES, ...changes };
    const load = await process.load({ handler: 'index.handler', files }, { env });
    expect(load.text).toContain('"ready"');
    return (await process.invoke({})).body;
  };
  const listContents = (folder: string) =>
    promisify(execFile)(present.command[0] ?? '', [
      '-B',
      path.join(PYTHON_FOLDER, 'warmpool_agent/held/contents.py'),
      folder,
    ]);

  it('are given to a function with the same ones, and nothing else differs', async () => {
    const withHeld = await told(await python('tally'));
    const without = await told(await python(''));
    expect(withHeld).toMatchObject({ tally: 'memory', abacus: 'memory', lazy: 'own' });
    expect(without).toMatchObject({ tally: 'own', abacus: 'own', lazy: 'own' });
    expect(withHeld['rest']).toEqual(without['rest']);
    expect(withHeld['rest']).toMatchObject({ early: [], seen: 1, files: expect.arrayContaining(['tally/rows.py']) });
  });

  it('are taken from the folders where dependencies may lie', async () => {
    const process = await python('tally');
    const files = Object.entries(PACKAGES).map(([name, text]) => [`vendor/${name}`, text]);
    const load = await process.load({
      handler: 'index.handler',
      files: { 'index.py': FUNCTION, ...Object.fromEntries(files) },
    });
    expect(load.status).toBe(200);
    expect((await process.invoke({})).body).toMatchObject({ tally: 'memory', rest: { paths: ['vendor/tally'] } });
  });

  it.each<[string, Files, Record<string, string>]>([
    ['a file of data differs', { 'tally/data.txt': 'other dat' }, { tally: 'own', abacus: 'memory' }],
    ['a module that was not imported differs', { 'tally/lazy.py': 'PID = 1\n' }, { tally: 'own', abacus: 'memory' }],
    [
      'a package that they need differs',
      { 'abacus.py': 'import os\nPID = os.getpid()\n#\n' },
      { tally: 'own', abacus: 'own' },
    ],
    [
      'there is a package that they had looked for in vain',
      { 'optional_speedups.py': '' },
      { tally: 'own', abacus: 'memory' },
    ],
    ['the code hides a standard module that they use', { 'queue.py': '' }, { tally: 'own', abacus: 'memory' }],
  ])('are left alone when %s', async (_when, changes, expected) => {
    expect(await told(await python('tally'), changes)).toMatchObject(expected);
  });

  it('are left alone when a variable differs that they read', async () => {
    const process = await python('tally', { TALLY_MODE: 'of the container' });
    const answer = await told(process, {}, { TALLY_MODE: 'fast' });
    expect(answer).toMatchObject({ tally: 'own', abacus: 'memory', rest: { mode: 'fast' } });
  });

  it('are compared by a list that came with the code, unless it does not fit the files', async () => {
    const big = { 'tally/big.bin': 'x'.repeat(5 * 1024 * 1024) };
    await write(pool, big);
    const [counted, listed, stale] = [await python('tally'), await python('tally'), await python('tally')];
    expect(await told(counted, big)).toMatchObject({ tally: 'own' });
    for (const [process, more, expected] of [
      [listed, '', 'memory'],
      [stale, '#', 'own'],
    ] as const) {
      await write(path.join(process.folder, 'code'), { ...PACKAGES, ...big });
      await listContents(path.join(process.folder, 'code'));
      const changed = `${PACKAGES['tally/rows.py']}${more}`;
      expect(await told(process, { ...big, 'tally/rows.py': changed })).toMatchObject({ tally: expected });
    }
  });

  it('are given once: who imports one again gets a new one', async () => {
    const process = await python('tally');
    const again = `import os, sys, importlib, tally
first = tally
del sys.modules["tally"]
import tally
importlib.reload(tally)
def handler(event, context):
    return [first.PID == os.getppid(), tally is first, tally.PID == os.getpid()]
`;
    await process.load({ handler: 'index.handler', files: { ...PACKAGES, 'index.py': again } });
    expect((await process.invoke({})).text).toBe('[true,false,true]');
  });

  it('must not replace parts of the standard library', async () => {
    await write(pool, { 'meddler.py': 'import json\njson.dumps = lambda value: "meddled"\n' });
    const process = await python('meddler');
    expect(await process.exited).toBe(1);
    expect(process.output()).toContain('replaces json.dumps of the standard library');
  });

  it('with compiled parts that differ are loaded in an interpreter that never saw them', async () => {
    const platform = await promisify(execFile)(present.command[0] ?? '', [
      '-c',
      'import sysconfig; print(sysconfig.get_config_var("DESTSHARED"))',
    ]);
    const shared = platform.stdout.trim();
    const compiled = (await readdir(shared)).find((name) => name.startsWith('_queue.'));
    if (compiled === undefined) return console.warn(`NOT tested: ${shared} has no extension module _queue`);
    const packageOf = (version: string): Files => ({
      'native/__init__.py': `import os\nfrom . import _queue\nPID, VERSION = os.getpid(), ${version}\n`,
    });
    const give = (folder: string) => cp(path.join(shared, compiled), path.join(folder, 'native', compiled));
    await write(pool, packageOf('1'));
    await give(pool);
    const index = `import os, sys, native
print("loading")
def handler(event, context):
    print("called")
    same = native.PID == os.getpid()
    return [native.VERSION, same, "main.py" in " ".join(sys.orig_argv), sys.argv[0], dict(os.environ)["GREETING"]]
`;
    for (const [version, expected] of [
      ['1', [1, false]],
      ['2', [2, true]],
    ] as const) {
      const process = await python('native');
      await write(path.join(process.folder, 'code'), packageOf(version));
      await give(path.join(process.folder, 'code'));
      const files = { 'index.py': index };
      const load = await process.load({ handler: 'index.handler', files }, { env: { GREETING: 'hello' } });
      expect(load.text).toContain('"ready"');
      const answer = await process.invoke({}, { 'x-request-id': 'r1' });
      const main = path.join(process.folder, 'code', 'index.py');
      expect(JSON.parse(answer.text)).toEqual([...expected, false, main, 'hello']);
      expect(await process.linesOf('r1')).toEqual(['called']);
      expect(process.output()).toContain('loading');
      process.kill('SIGTERM');
      expect(await process.exited).toBe(0);
    }
  });
});

async function write(folder: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), content);
  }
}
