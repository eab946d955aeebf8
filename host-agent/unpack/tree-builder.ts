import type { TreeSink } from '../core/tree-sink.ts';

export interface UnpackedTree {
  diskBytes: number;
  contentBytes: number;
  entryCount: number;
}

/** Makes a tree of what a reader finds, in a folder that nobody knows yet. */
export interface TreeBuilder extends TreeSink {
  /** A file that is already on this disk becomes one of the tree. */
  adoptFile(path: readonly string[], file: string, sizeBytes: number, crc: number): void;
  /** Writes down what the tree is (see tree-manifest.ts). Nothing may be added afterwards. */
  finish(): UnpackedTree;
  /** After a failure: gives back what is open. */
  close(): void;
}
