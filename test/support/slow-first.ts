import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** A file that takes minutes and is started last leaves one core idle for as long. Where nothing is known yet, vitest goes by size. */
const SLOW = [
  '/test/system/conformance-faults.test.ts',
  '/test/system/host-agent-csi-crash.test.ts',
  '/test/system/runtime-java.test.ts',
  '/test/system/tree-images.test.ts',
  '/test/local/npm-start.test.ts',
];

export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = SLOW.findIndex((name) => moduleId.endsWith(name));
      return at < 0 ? SLOW.length : at;
    };
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}
