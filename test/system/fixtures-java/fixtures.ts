import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const OWN = fileURLToPath(new URL('.', import.meta.url));
const KIT = fileURLToPath(new URL('../../../conformance/functions/java', import.meta.url));

/** Every class of the sources beside this file and of the kit's, by the name of its file. */
export function compileFixtures(): Map<string, Buffer> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-java-fixtures-'));
  try {
    const sources = [
      path.join(OWN, 'Small.java'),
      path.join(OWN, 'Ways.java'),
      path.join(OWN, 'Streams.java'),
      path.join(KIT, 'Acts.java'),
      path.join(KIT, 'Broken.java'),
    ];
    execFileSync('javac', ['-J-XX:TieredStopAtLevel=1', '-nowarn', '-encoding', 'UTF-8', '-d', folder, ...sources]);
    return new Map(readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name))]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The named classes, and those nested in them, as a code folder. */
export function classesOf(compiled: Map<string, Buffer>, ...names: string[]): Record<string, Buffer> {
  const files = [...compiled].filter(([file]) =>
    names.some((name) => new RegExp(`^${name}(\\$.*)?\\.class$`).test(file)),
  );
  return Object.fromEntries(files);
}

/** A jar of these files, with a main class in its manifest if there is one. */
export function jarOf(files: Record<string, Buffer>, mainClass?: string): Buffer {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-java-jar-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(path.join(folder, name), content);
    const main = mainClass === undefined ? [] : ['--main-class', mainClass];
    execFileSync('jar', ['--create', '--file', 'made.jar', ...main, ...Object.keys(files)], { cwd: folder });
    return readFileSync(path.join(folder, 'made.jar'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
