import { createHash } from 'node:crypto';
import { access, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { listFiles } from './source-files.ts';
import { runTool, ToolError } from './run-tool.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** The plugin is named in full, so that the same Maven resolves the same way everywhere. */
const COPY_DEPENDENCIES = 'org.apache.maven.plugins:maven-dependency-plugin:3.7.1:copy-dependencies';
const SOURCES = 'src/main/java';
/** Class files for the oldest version that the runtime takes run on all of them. */
const RELEASE = '17';

/** Resolves `pom.xml` into `lib/`, whose jars must be those of `dependencies.sha256`, no more and no fewer. */
export async function installJars(folder: string, env: Env): Promise<void> {
  await runTool({
    program: 'mvn',
    args: ['-B', '-q', '-ntp', COPY_DEPENDENCIES, '-DincludeScope=runtime', '-DoutputDirectory=lib'],
    cwd: folder,
    env,
    remedy: 'install Maven (Debian and Ubuntu: apt install maven)',
  });
  const wanted = hashesOf(await readFile(path.join(folder, 'dependencies.sha256'), 'utf8'));
  const jars = await readdir(path.join(folder, 'lib'));
  for (const jar of jars) {
    const found = createHash('sha256')
      .update(await readFile(path.join(folder, 'lib', jar)))
      .digest('hex');
    if (wanted.get(jar) === found) continue;
    const how = wanted.has(jar) ? `${wanted.get(jar)} in dependencies.sha256` : 'not in dependencies.sha256';
    throw new ToolError(`Maven resolved ${jar} with the hash ${found}, which is ${how}`);
  }
  const lacking = [...wanted.keys()].filter((jar) => !jars.includes(jar));
  if (lacking.length > 0)
    throw new ToolError(`dependencies.sha256 has ${lacking.join(', ')}, which Maven did not resolve`);
}

/** As `sha256sum` writes them. */
function hashesOf(text: string): Map<string, string> {
  const found = text.matchAll(/^(?<hash>[0-9a-f]{64}) [ *](?<jar>\S+)$/gm);
  return new Map(Array.from(found, ({ groups }) => [groups?.['jar'] ?? '', groups?.['hash'] ?? '']));
}

/** The sources of `src/main/java` as `classes/`, which the runtime has on its class path, as it has `lib/`. */
export async function compileJava(tree: string, env: Env): Promise<void> {
  const sources = (await listFiles(tree)).filter((name) => name.startsWith(`${SOURCES}/`) && name.endsWith('.java'));
  if (sources.length === 0) return;
  const classPath = (await isThere(path.join(tree, 'lib'))) ? ['-cp', 'lib/*'] : [];
  await runTool({
    program: 'javac',
    args: [
      '--release',
      RELEASE,
      '-encoding',
      'UTF-8',
      '-parameters',
      '-proc:none',
      ...classPath,
      '-d',
      'classes',
      ...sources,
    ],
    cwd: tree,
    env,
    remedy: `install a JDK of version ${RELEASE} or newer`,
  });
}

async function isThere(folder: string): Promise<boolean> {
  try {
    await access(folder);
    return true;
  } catch {
    return false;
  }
}
