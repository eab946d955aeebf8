import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const BOOTSTRAP = fileURLToPath(new URL('.', import.meta.url));
const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython) process.stderr.write('skipped: prepared code of Python needs python3 on the PATH\n');

/** Imports `main` of a tree in a fresh process, and tells what it said and how many modules were compiled on the way. */
const DRIVER = `
import builtins, importlib._bootstrap_external as external, json, sys
sys.path.insert(0, ${JSON.stringify(BOOTSTRAP)})
from warmpool_agent.prepared import use_prepared
tree, mode = sys.argv[1:]
sys.path.insert(0, tree)
is_used = mode == "with" and use_prepared(tree)
compiled = []
own = external.SourceLoader.source_to_code
external.SourceLoader.source_to_code = lambda self, data, path, **more: (compiled.append(path), own(self, data, path, **more))[1]
import main
print(json.dumps({"isUsed": is_used, "compiled": [path[len(tree) + 1:] for path in compiled if path.startswith(tree)], "said": main.said()}))
`;

const FILES: Record<string, string> = {
  'main.py': `
"""Says what a module can know of itself."""
from __future__ import annotations
import inspect, linecache, traceback
import package.inner as inner, package
from package import sibling

ROOT = __file__.removesuffix("main.py")

def caught(act):
    try:
        return act()
    except BaseException as error:
        return [type(error).__name__, str(error), [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(ROOT)]]

def said():
    facts = lambda module: [module.__name__, module.__file__, module.__cached__, module.__package__, type(module.__loader__).__name__, module.__spec__.origin]
    return {
        "facts": [facts(inner), facts(package), facts(sibling)],
        "doc": __doc__,
        "source": inspect.getsource(inner.add),
        "code": [inner.add.__code__.co_filename, inner.add.__code__.co_firstlineno],
        "thrown": caught(lambda: inner.fails()),
        "atImport": caught(lambda: __import__("package.throws")),
        "broken": caught(lambda: __import__("package.broken")),
        "missing": caught(lambda: __import__("package.nothing")),
        "annotations": str(said.__annotations__),
    }
`,
  'package/__init__.py': 'from . import sibling\n',
  'package/inner.py':
    'def add(a, b):\n    # kept\n    return a + b\n\n\ndef fails():\n    nested = lambda: 1 / 0\n    return nested()\n',
  'package/sibling.py': 'name = __name__\n',
  'package/throws.py': 'raise TypeError("thrown at its import")\n',
  'package/broken.py': 'def (:\n',
};

interface Outcome {
  isUsed: boolean;
  compiled: string[];
  said: unknown;
}
let folder: string;
let tree: string;

function prepare(of: string): string {
  const words = ['-I', '-S', '-B', join(BOOTSTRAP, 'prepare.py'), of];
  const output = execFileSync('python3', words, { env: {}, cwd: '/', maxBuffer: 2 ** 28 });
  const end = output.indexOf('\n');
  const file = join(dirname(of), 'prepared', output.toString('latin1', 0, end));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, output.subarray(end + 1));
  return file;
}

function load(mode: 'with' | 'without', flags: string[] = []): Outcome {
  const words = ['-B', ...flags, join(folder, 'driver.py'), tree, mode];
  return JSON.parse(execFileSync('python3', words, { encoding: 'utf8' })) as Outcome;
}

describe.skipIf(!hasPython)('prepared code of Python', () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'warmpool-prepared-'));
    tree = join(folder, 'tree');
    for (const [name, content] of Object.entries(FILES)) {
      mkdirSync(dirname(join(tree, name)), { recursive: true });
      writeFileSync(join(tree, name), content);
    }
    writeFileSync(join(folder, 'driver.py'), DRIVER);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('makes no difference that the code could see, and spares every compilation that can succeed', () => {
    prepare(tree);
    const [plain, fast] = [load('without'), load('with')];
    expect(fast.said).toEqual(plain.said);
    expect(plain).toMatchObject({ isUsed: false });
    expect(plain.compiled).toContain('package/inner.py');
    expect(fast).toMatchObject({ isUsed: true, compiled: [] });
  });

  test('is not used by an interpreter that compiles otherwise, nor when it is damaged', () => {
    const file = prepare(tree);
    expect(load('with', ['-O'])).toMatchObject({ isUsed: false });
    writeFileSync(file, Buffer.alloc(20, 1));
    expect(load('with')).toMatchObject({ isUsed: false });
  });

  test('is made without running a line of the code', () => {
    const other = join(folder, 'other', 'tree');
    const mark = join(folder, 'ran');
    mkdirSync(other, { recursive: true });
    writeFileSync(join(other, 'index.py'), `open(${JSON.stringify(mark)}, "w")\n`);
    expect(existsSync(prepare(other))).toBe(true);
    expect(existsSync(mark)).toBe(false);
  });
});
