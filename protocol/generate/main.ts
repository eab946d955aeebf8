import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fillSections, generatedFiles, PAGES_WITH_SECTIONS } from './files.ts';

/** `npm run generate`: writes everything that is made from the contracts. */
const repository = join(import.meta.dirname, '../..');

for (const [path, content] of Object.entries(generatedFiles())) {
  mkdirSync(join(repository, dirname(path)), { recursive: true });
  writeIfChanged(path, content);
}
for (const path of PAGES_WITH_SECTIONS) {
  const page = readIfThere(path);
  if (page !== undefined) writeIfChanged(path, fillSections(page));
}

function writeIfChanged(path: string, content: string): void {
  if (readIfThere(path) === content) return;
  writeFileSync(join(repository, path), content);
  console.log(`wrote ${path}`);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(join(repository, path), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
