import type { ChildProcess } from 'node:child_process';
import { execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Format } from './artefacts.ts';
import type { PlainWish } from './plain-get.ts';

/** Brings an archive of the store to a folder that does not exist yet. */
export interface Contender {
  name: string;
  bring: (file: string, format: Format, folder: string) => Promise<void>;
  /** Where in the folder the tree is. */
  treeIn: (folder: string) => string;
  end: () => void;
}

/** What people use today, as far as this machine has it. */
export function contenders(port: number): Contender[] {
  const origin = `http://127.0.0.1:${port}`;
  const found = [shell('curl', curl(origin)), plainGet(origin)];
  if (has('rclone')) found.push(shell('rclone', rclone(origin)));
  if (has('aws')) found.push(shell('aws s3 cp', aws(origin)));
  return found;
}

type Script = (file: string, format: Format) => string;

const untar = { 'tar.gz': 'tar -xzf', 'tar.zst': 'tar --zstd -xf' };

/** Streams where the format can be streamed, as one does. */
const curl =
  (origin: string): Script =>
  (file, format) =>
    format === 'zip'
      ? `curl -sf -o archive ${origin}/${file} && unzip -q archive && rm archive`
      : `curl -sf ${origin}/${file} | ${untar[format]} -`;

const unpackFile = (format: Format): string => `${format === 'zip' ? 'unzip -q' : untar[format]} archive && rm archive`;

/** Tuned: by its own defaults it would use one connection below 250 MB. */
const rclone =
  (origin: string): Script =>
  (file, format) =>
    `rclone copyto --config /dev/null --multi-thread-cutoff 1M --multi-thread-streams 8 --http-url ${origin} :http:${file} archive && ${unpackFile(format)}`;

const aws =
  (origin: string): Script =>
  (file, format) =>
    `aws s3 cp --quiet --no-sign-request --region us-east-1 --endpoint-url ${origin} s3://${file} archive && ${unpackFile(format)}`;

function shell(name: string, script: Script): Contender {
  return {
    name,
    treeIn: (folder) => folder,
    async bring(file, format, folder) {
      mkdirSync(folder);
      const child = spawn('bash', ['-o', 'pipefail', '-c', script(file, format)], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let errors = '';
      child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
      const [code] = (await once(child, 'close')) as [number | null];
      if (code !== 0) throw new Error(`${name} failed on ${file}: ${errors.slice(-500)}`);
    },
    end() {},
  };
}

function plainGet(origin: string): Contender {
  const child: ChildProcess = fork(fileURLToPath(new URL('./plain-get.ts', import.meta.url)));
  return {
    name: 'plain GET in Node',
    treeIn: (folder) => join(folder, 'tree'),
    async bring(file, format, folder) {
      child.send({ url: `${origin}/${file}`, format, folder } satisfies PlainWish);
      const [answer] = (await once(child, 'message')) as [{ ok: boolean; error?: string }];
      if (!answer.ok) throw new Error(`the plain GET failed on ${file}: ${answer.error}`);
    },
    end: () => child.disconnect(),
  };
}

function has(program: string): boolean {
  try {
    execFileSync(program, [program === 'rclone' ? 'version' : '--version'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stderr.write(`not compared with ${program}: it is not installed\n`);
    return false;
  }
}

/** Where a contender's folder is, and what is in it. */
export function countFiles(folder: string): number {
  return Number(
    execFileSync('bash', ['-c', `find ${JSON.stringify(join(folder))} -type f | wc -l`], { encoding: 'utf8' }),
  );
}
