import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Fixture, RuntimeFixtures } from '../../contract/runtime-agent/fixtures.ts';

const SOURCES = fileURLToPath(new URL('.', import.meta.url));

/** Every class of the sources beside this file, by the name of its file. */
export function compileFixtures(): Map<string, Buffer> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-java-fixtures-'));
  try {
    const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.java'));
    const args = ['-J-XX:TieredStopAtLevel=1', '-nowarn', '-encoding', 'UTF-8', '-d', folder];
    execFileSync('javac', [...args, ...sources.map((name) => path.join(SOURCES, name))], { stdio: 'pipe' });
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

export function contractFixtures(compiled: Map<string, Buffer>): RuntimeFixtures {
  const code = (handler: string, ...names: string[]): Fixture => ({ handler, files: classesOf(compiled, ...names) });
  const broken = { 'Broken.java': readFileSync(path.join(SOURCES, 'Broken.java')) };
  return {
    acts: code('Acts.run', 'Acts'),
    throwsOnImport: { handler: 'Throws.handler', files: { ...broken, ...classesOf(compiled, 'Throws') } },
    syntaxError: { handler: 'Garbage.handler', files: { 'Garbage.class': 'this is no class file' } },
    exitsOnImport: code('Exits.handler', 'Exits'),
    spinsOnImport: code('Spins.handler', 'Spins'),
    waitsOnImport: code('Waits.handler', 'Waits', 'Slow'),
    slowImport: code('Slow.handler', 'Slow'),
    handlerMissing: code('Other.handler', 'Other'),
    handlerNotFunction: code('Constant.handler', 'Constant'),
    moduleMissing: code('src/gone.handler', 'Other'),
    httpApp: code('HttpApp', 'HttpApp'),
    httpNeverListens: code('HttpNeverListens', 'HttpNeverListens'),
    httpWrongPort: code('HttpWrongPort', 'HttpWrongPort', 'HttpApp'),
    httpThrows: code('HttpThrows', 'HttpThrows'),
  };
}
