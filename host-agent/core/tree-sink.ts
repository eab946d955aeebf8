/** Where a reader puts what it finds in an archive. Paths are segments that `parseEntryPath` let through. */
export interface TreeSink {
  directory(path: readonly string[]): void;
  beginFile(path: readonly string[], sizeBytes: number, isExecutable: boolean): void;
  /** Bytes of the file begun last; the sink must not keep the buffer. `crc`: of the whole file, where these are all of it. */
  write(bytes: Uint8Array, crc?: number): void;
  endFile(): void;
  symlink(path: readonly string[], target: string): void;
  hardlink(path: readonly string[], existing: readonly string[]): void;
}
