import type { TreeBuilder, UnpackedTree } from './tree-builder.ts';

/** Up to so many entries, and as much in them, a folder costs less than a mount does. */
const FEW_ENTRIES = 64;
const FEW_BYTES = 1024 * 1024;

/** Waits for what an archive turns out to be: a folder when it is small, else an image. Holds at most what is small in memory. */
export class TreeOrImage implements TreeBuilder {
  readonly #make: { folder: () => TreeBuilder; image: () => TreeBuilder };
  #builder: TreeBuilder | undefined;
  #waiting: ((builder: TreeBuilder) => void)[] = [];
  #entries = 0;
  #bytes = 0;

  constructor(make: { folder: () => TreeBuilder; image: () => TreeBuilder }) {
    this.#make = make;
  }

  directory(path: readonly string[]): void {
    this.#entry((builder) => builder.directory(path));
  }

  beginFile(path: readonly string[], sizeBytes: number, isExecutable: boolean): void {
    this.#bytes += sizeBytes;
    this.#entry((builder) => builder.beginFile(path, sizeBytes, isExecutable));
  }

  write(bytes: Uint8Array, crc?: number): void {
    if (this.#builder !== undefined) return this.#builder.write(bytes, crc);
    const kept = Uint8Array.from(bytes);
    this.#do((builder) => builder.write(kept, crc));
  }

  endFile(): void {
    this.#do((builder) => builder.endFile());
  }

  /** The only one of its archive. */
  adoptFile(path: readonly string[], file: string, sizeBytes: number, crc: number): void {
    this.#do((builder) => builder.adoptFile(path, file, sizeBytes, crc));
  }

  symlink(path: readonly string[], target: string): void {
    this.#entry((builder) => builder.symlink(path, target));
  }

  hardlink(path: readonly string[], existing: readonly string[]): void {
    this.#entry((builder) => builder.hardlink(path, existing));
  }

  finish(): UnpackedTree {
    return (this.#builder ?? this.#choose(this.#make.folder())).finish();
  }

  close(): void {
    this.#builder?.close();
  }

  #entry(act: (builder: TreeBuilder) => void): void {
    this.#entries += 1;
    if (this.#builder === undefined && (this.#entries > FEW_ENTRIES || this.#bytes > FEW_BYTES)) {
      this.#choose(this.#make.image());
    }
    this.#do(act);
  }

  #do(act: (builder: TreeBuilder) => void): void {
    if (this.#builder === undefined) this.#waiting.push(act);
    else act(this.#builder);
  }

  #choose(builder: TreeBuilder): TreeBuilder {
    this.#builder = builder;
    for (const act of this.#waiting.splice(0)) act(builder);
    return builder;
  }
}
