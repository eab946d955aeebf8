import path from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** A file that takes minutes and is started last leaves one core idle for as long. Where nothing is known yet, vitest goes by size. */
const SLOW = [
  'system/conformance-faults.test.ts',
  'system/host-agent-csi-crash.test.ts',
  'system/runtime-java.test.ts',
  'system/tree-images.test.ts',
  'local/npm-start.test.ts',
];

export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = SLOW.findIndex((name) => moduleId.endsWith(path.join('test', name)));
      return at < 0 ? SLOW.length : at;
    };
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}
