import { readFileSync } from 'node:fs';

/**
 * Adds up the JSON reports of several vitest runs and closes with one plain line. Fails on any failure, on a run without a test, and,
 * unless `--may-skip` says that this machine lacks something, on anything skipped.
 */

interface Report {
  success: boolean;
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { name: string; status: string; assertionResults: { status: string; fullName: string }[] }[];
}

function read(path: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Report;
  } catch (error) {
    process.stdout.write(`no results from ${path}: ${error instanceof Error ? error.message : String(error)}\n`);
    return undefined;
  }
}

const maySkip = process.argv.includes('--may-skip');
const paths = process.argv.slice(2).filter((argument) => argument !== '--may-skip');
let [passed, failed, skipped] = [0, 0, 0];
for (const path of paths) {
  const report = read(path);
  if (report === undefined || (report.numPassedTests === 0 && !maySkip)) {
    failed += 1;
    continue;
  }
  passed += report.numPassedTests;
  skipped += report.numPendingTests + report.numTodoTests;
  // A file that could not be loaded has failed without a test that says so; so has a run with an error outside every test.
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  );
  const failures = report.numFailedTests + brokenFiles.length;
  failed += failures === 0 && !report.success ? 1 : failures;
  for (const { name, assertionResults } of report.testResults) {
    for (const { status, fullName } of assertionResults) {
      if (status !== 'passed') process.stdout.write(`${status}: ${name}: ${fullName}\n`);
    }
  }
}
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode = failed > 0 || (skipped > 0 && !maySkip) ? 1 : 0;
