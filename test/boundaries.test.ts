import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

/** Who may import whom, and where clocks, randomness and settings may be touched: read from the source itself. */

const repository = join(import.meta.dirname, '..');
const PROGRAMS = ['operator', 'host-agent', 'runtime-agent'];
const FOLDERS = ['protocol', 'wire', ...PROGRAMS, 'conformance', 'local', 'bench', 'test'];
const LINE_LIMIT = 300;

const IMPORT =
  /^\s*(?:import|export)\s+(type\s)?([^;'"]*?)\bfrom\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;

interface Import {
  /** A repository path for our own files, else the package's or builtin's name. */
  target: string;
  isTypeOnly: boolean;
  /** Between `import` and `from`. */
  clause: string;
}

interface SourceFile {
  path: string;
  lines: number;
  /** Without comments. */
  code: string;
  imports: Import[];
}

const files = FOLDERS.flatMap((folder) => sourcesIn(folder));
const isTest = ({ path }: SourceFile): boolean =>
  path.startsWith('test/') || path.endsWith('.test.ts') || path.includes('/testing/');
const sources = files.filter((file) => !isTest(file));

function sourcesIn(folder: string): SourceFile[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => /\.(ts|mjs|cjs|js|py)$/.test(path) && !path.includes('node_modules/'))
    .map((path) => {
      const text = readFileSync(join(repository, path), 'utf8');
      const code = withoutComments(text);
      return {
        path,
        lines: text.split('\n').length - 1,
        code,
        imports: path.endsWith('.py') ? [] : importsOf(path, code),
      };
    });
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

function importsOf(path: string, code: string): Import[] {
  return [...code.matchAll(IMPORT)].map(([, type, clause, from, bare, dynamic]) => {
    const specifier = from ?? bare ?? dynamic ?? '';
    const own = /^@warmpool\/(.+)$/.exec(specifier)?.[1];
    const target = own ?? (specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier);
    return { target, isTypeOnly: type !== undefined, clause: clause?.trim() ?? '' };
  });
}

const folderOf = (path: string): string => path.slice(0, path.indexOf('/'));
const isOwn = (target: string): boolean => FOLDERS.includes(folderOf(target));

/** `file -> target` for every import that is not allowed. */
function forbiddenImports(among: SourceFile[], isAllowed: (found: Import, file: SourceFile) => boolean): string[] {
  return among.flatMap((file) =>
    file.imports.filter((found) => !isAllowed(found, file)).map(({ target }) => `${file.path} -> ${target}`),
  );
}

/** `file: text` for every match. */
function forbiddenCode(among: SourceFile[], pattern: RegExp): string[] {
  return among.flatMap(({ path, code }) => [...code.matchAll(pattern)].map(([text]) => `${path}: ${text}`));
}

const within =
  (...prefixes: string[]) =>
  (file: SourceFile): boolean =>
    prefixes.some((prefix) => file.path.startsWith(prefix));

const CLOCKS_AND_CHANCE =
  /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bset(?:Timeout|Interval|Immediate)\b|\bMath\.random\b|\brandomUUID\b|\brandomBytes\b|\bAbortSignal\.timeout\b|\bnode:timers\b/g;

describe('imports', () => {
  it('are found at all', () => {
    expect(files.flatMap(({ imports }) => imports).length).toBeGreaterThan(100);
    expect(
      importsOf('operator/a/b.ts', "import {\n  x,\n  y,\n} from '../c.ts';\nimport type { z } from 'zod';"),
    ).toEqual([
      { target: 'operator/c.ts', isTypeOnly: false, clause: expect.stringMatching(/^\{\s+x,\s+y,\s+\}$/) as string },
      { target: 'zod', isTypeOnly: true, clause: '{ z }' },
    ]);
  });

  it('of the protocol reach nothing but zod and itself; its generators also builtins and yaml', () => {
    const isGenerator = within('protocol/generate/');
    const isAllowed = ({ target }: Import, file: SourceFile): boolean =>
      target === 'zod' ||
      target.startsWith('protocol/') ||
      (isGenerator(file) && (target === 'yaml' || target.startsWith('node:')));
    expect(forbiddenImports(sources.filter(within('protocol/')), isAllowed)).toEqual([]);
  });

  it('of the wire reach nothing but builtins and undici', () => {
    const isAllowed = ({ target }: Import): boolean =>
      target === 'undici' || target.startsWith('node:') || target.startsWith('wire/');
    expect(forbiddenImports(sources.filter(within('wire/')), isAllowed)).toEqual([]);
  });

  it.each(PROGRAMS)('of %s stay in it, but for the protocol and how it is spoken', (program) => {
    const isAllowed = ({ target }: Import, file: SourceFile): boolean =>
      !isOwn(target) || [program, 'protocol', 'wire', ...(isTest(file) ? ['test'] : [])].includes(folderOf(target));
    expect(forbiddenImports(files.filter(within(`${program}/`)), isAllowed)).toEqual([]);
  });

  it('of the conformance kit reach the protocol and the reading of runtime manifests, nothing else of ours', () => {
    const isAllowed = ({ target }: Import): boolean =>
      !isOwn(target) || /^(conformance|protocol)\//.test(target) || target === 'runtime-agent/runtimes.ts';
    expect(forbiddenImports(sources.filter(within('conformance/')), isAllowed)).toEqual([]);
  });

  it('of the single-machine composition do not reach into benchmarks or tests', () => {
    const isAllowed = ({ target }: Import): boolean => !target.startsWith('test/') && !target.startsWith('bench/');
    expect(forbiddenImports(sources.filter(within('local/')), isAllowed)).toEqual([]);
  });

  it('of a core are types, other core files, the protocol, its errors, and what only computes', () => {
    const computing = [
      'node:crypto',
      'node:path',
      'node:path/posix',
      'node:buffer',
      'node:util',
      'node:url',
      'node:string_decoder',
    ];
    /** In memory, without I/O or time of their own. */
    const pure = ['zod', 'lru-cache', 'operator/engine/conditions.ts'];
    const isAllowed = ({ target, isTypeOnly, clause }: Import, file: SourceFile): boolean =>
      isTypeOnly ||
      computing.includes(target) ||
      pure.includes(target) ||
      (target === 'node:net' && /^\{ (isIP(v[46])?|BlockList)(, (isIP(v[46])?|BlockList))* \}$/.test(clause)) ||
      target.startsWith('protocol/') ||
      target === `${folderOf(file.path)}/errors.ts` ||
      target.startsWith(`${folderOf(file.path)}/core/`);
    const cores = sources.filter(within(...PROGRAMS.map((program) => `${program}/core/`)));
    expect(forbiddenImports(cores, isAllowed)).toEqual([]);
  });

  it('of the Kubernetes client library are in operator/kube alone, types aside: it costs 60 MB', () => {
    const isAllowed = ({ target, isTypeOnly }: Import, { path }: SourceFile): boolean =>
      !target.startsWith('@kubernetes/client-node') || isTypeOnly || path.startsWith('operator/kube/');
    expect(forbiddenImports(sources, isAllowed)).toEqual([]);
  });
});

describe('source', () => {
  it('has no clock, timer or randomness of its own where the simulation must replay it', () => {
    const replayed = sources.filter(
      within('operator/core/', 'operator/engine/', 'operator/claims/', 'operator/controllers/', 'host-agent/core/'),
    );
    const isPort = within('operator/engine/clock.ts', 'operator/engine/random.ts', 'operator/engine/testing/');
    expect(
      forbiddenCode(
        replayed.filter((file) => !isPort(file)),
        CLOCKS_AND_CHANCE,
      ),
    ).toEqual([]);
  });

  it('reads environment and arguments in config.ts files only; a main.ts hands them over whole', () => {
    // Programs of their own, in pods or to compare with: not ours to configure.
    const isExempt = within('runtime-agent/bootstrap/', 'local/cold-start/', 'bench/', 'conformance/functions/');
    const others = sources
      .filter((file) => !isExempt(file) && !file.path.endsWith('/config.ts'))
      .map((file) => ({ ...file, code: file.code.replace('readConfig(process.argv.slice(2), process.env)', '') }));
    expect(forbiddenCode(others, /\bprocess\.(?:env|argv)\b/g)).toEqual([]);
  });

  it(`has no file above ${LINE_LIMIT} lines`, () => {
    const long = sources.filter(({ lines }) => lines > LINE_LIMIT).map(({ path, lines }) => `${path}: ${lines}`);
    expect(long).toEqual([]);
  });

  it('has no file or folder whose name says nothing', () => {
    const empty = /(^|[/.-])(utils?|helpers?|common|misc|managers?)(?=[/.-])/;
    expect(files.map(({ path }) => path).filter((path) => empty.test(path))).toEqual([]);
  });
});
