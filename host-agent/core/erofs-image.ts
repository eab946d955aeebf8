/** Also the size of a page on every machine that this runs on, or a divisor of it. */
export const EROFS_BLOCK_BYTES = 4096;

/** What an image holds. Two names with the same node are hard links. */
export type ErofsNode = ErofsFile | ErofsFolder | ErofsLink;

export interface ErofsFile {
  kind: 'file';
  mode: number;
  sizeBytes: number;
  /** Its bytes are in the image already: from this block on, one block after the other. */
  startBlock: number;
  nameCount: number;
}

export interface ErofsFolder {
  kind: 'folder';
  mode: number;
  children: Map<string, ErofsNode>;
}

export interface ErofsLink {
  kind: 'link';
  target: string;
}

const MAGIC = 0xe0f5e1e2;
const SUPERBLOCK_AT = 1024;
const BLOCK_SIZE_BITS = 12;
const SLOT_BYTES = 32;
const INODE_BYTES = 64;
const DIRENT_BYTES = 12;
/** An inode of 64 bytes: sizes beyond 4 GiB, and as many names as one likes. */
const IS_EXTENDED = 1;
/** What is left of the content after whole blocks follows the inode. */
const FLAT_INLINE = 2 << 1;
const TYPES = {
  file: { mode: 0o100000, dirent: 1 },
  folder: { mode: 0o040000, dirent: 2 },
  link: { mode: 0o120000, dirent: 7 },
};

interface Dirent {
  name: Buffer;
  node: ErofsNode;
}

/** A node with its place in the image. */
interface Inode {
  node: ErofsNode;
  /** Its number: where it is, in slots. */
  nid: number;
  sizeBytes: number;
  /** How much of the content follows the inode. */
  tailBytes: number;
  /** The first block of the rest. */
  startBlock: number;
  direntBlocks: Dirent[][];
}

/**
 * All of an erofs image but the contents of its files: `head` is block 0, `rest` goes to `firstBlock`. No compression, no extended
 * attributes; everything belongs to root. Format: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of Linux.
 */
export function layOutErofs(
  root: ErofsFolder,
  { firstBlock, madeUnixSeconds }: { firstBlock: number; madeUnixSeconds: number },
): { head: Buffer; rest: Buffer } {
  const { inodes, inodeBlocks } = placeInodes(root);
  let nextBlock = firstBlock + inodeBlocks;
  for (const inode of inodes.values()) {
    if (inode.node.kind !== 'folder') continue;
    inode.startBlock = nextBlock;
    nextBlock += Math.floor(inode.sizeBytes / EROFS_BLOCK_BYTES) + (hasPartBlock(inode) ? 1 : 0);
  }
  const rest = Buffer.alloc((nextBlock - firstBlock) * EROFS_BLOCK_BYTES);
  for (const inode of inodes.values()) {
    writeInode(rest, inode, madeUnixSeconds);
    writeContent(rest, inode, inodes, firstBlock);
  }
  const head = headOf({
    rootNid: inodes.get(root)?.nid ?? 0,
    inodeCount: inodes.size,
    nextBlock,
    firstBlock,
    madeUnixSeconds,
  });
  return { head, rest };
}

/** The root first, since the superblock has two bytes for its number; then folder after folder, each with what is in it. */
function placeInodes(root: ErofsFolder): { inodes: Map<ErofsNode, Inode>; inodeBlocks: number } {
  const inodes = new Map<ErofsNode, Inode>();
  // nothing has the number 0: to many programs that means none
  let endByte = SLOT_BYTES;
  const place = (node: ErofsNode, parent: ErofsFolder): void => {
    const inode = measure(node, parent);
    const bytes = INODE_BYTES + inode.tailBytes;
    // neither an inode nor its tail lies in two blocks
    if ((endByte % EROFS_BLOCK_BYTES) + bytes > EROFS_BLOCK_BYTES) endByte = roundUp(endByte, EROFS_BLOCK_BYTES);
    inode.nid = endByte / SLOT_BYTES;
    endByte = roundUp(endByte + bytes, SLOT_BYTES);
    inodes.set(node, inode);
  };
  place(root, root);
  for (const node of inodes.keys()) {
    if (node.kind !== 'folder') continue;
    for (const child of node.children.values()) if (!inodes.has(child)) place(child, node);
  }
  return { inodes, inodeBlocks: Math.ceil(endByte / EROFS_BLOCK_BYTES) };
}

function measure(node: ErofsNode, parent: ErofsFolder): Inode {
  const inode: Inode = { node, nid: 0, sizeBytes: 0, tailBytes: 0, startBlock: 0, direntBlocks: [] };
  if (node.kind === 'file') {
    inode.sizeBytes = node.sizeBytes;
    inode.startBlock = node.startBlock;
  } else if (node.kind === 'link') {
    inode.sizeBytes = inode.tailBytes = Buffer.byteLength(node.target);
  } else {
    inode.direntBlocks = direntBlocksOf(node, parent);
    const lastBytes = bytesOf(inode.direntBlocks.at(-1) ?? []);
    inode.sizeBytes = (inode.direntBlocks.length - 1) * EROFS_BLOCK_BYTES + lastBytes;
    if (lastBytes + INODE_BYTES <= EROFS_BLOCK_BYTES) inode.tailBytes = lastBytes;
  }
  return inode;
}

/** Sorted by their bytes, dots included, and no entry in two blocks: a name is found by halving. */
function direntBlocksOf(folder: ErofsFolder, parent: ErofsFolder): Dirent[][] {
  const dirents: Dirent[] = [
    { name: Buffer.from('.'), node: folder },
    { name: Buffer.from('..'), node: parent },
  ];
  for (const [name, node] of folder.children) dirents.push({ name: Buffer.from(name), node });
  dirents.sort((a, b) => Buffer.compare(a.name, b.name));
  let block: Dirent[] = [];
  let blockBytes = 0;
  const blocks = [block];
  for (const dirent of dirents) {
    const bytes = DIRENT_BYTES + dirent.name.length;
    if (blockBytes + bytes > EROFS_BLOCK_BYTES) {
      block = [];
      blocks.push(block);
      blockBytes = 0;
    }
    block.push(dirent);
    blockBytes += bytes;
  }
  return blocks;
}

function writeInode(into: Buffer, inode: Inode, madeUnixSeconds: number): void {
  const { node, nid, sizeBytes, tailBytes, startBlock } = inode;
  const at = nid * SLOT_BYTES;
  into.writeUInt16LE(IS_EXTENDED | (tailBytes > 0 ? FLAT_INLINE : 0), at);
  into.writeUInt16LE(TYPES[node.kind].mode | (node.kind === 'link' ? 0o777 : node.mode), at + 4);
  into.writeBigUInt64LE(BigInt(sizeBytes), at + 8);
  into.writeUInt32LE(startBlock, at + 16);
  into.writeUInt32LE(nid, at + 20);
  into.writeBigUInt64LE(BigInt(madeUnixSeconds), at + 32);
  into.writeUInt32LE(linkCountOf(node), at + 44);
}

function writeContent(into: Buffer, inode: Inode, inodes: ReadonlyMap<ErofsNode, Inode>, firstBlock: number): void {
  const { node, nid, tailBytes, startBlock, direntBlocks } = inode;
  const tailAt = nid * SLOT_BYTES + INODE_BYTES;
  if (node.kind === 'link') into.write(node.target, tailAt);
  for (const [index, dirents] of direntBlocks.entries()) {
    const isTail = tailBytes > 0 && index === direntBlocks.length - 1;
    const at = isTail ? tailAt : (startBlock - firstBlock + index) * EROFS_BLOCK_BYTES;
    let nameAt = dirents.length * DIRENT_BYTES;
    for (const [position, dirent] of dirents.entries()) {
      const direntAt = at + position * DIRENT_BYTES;
      into.writeBigUInt64LE(BigInt(inodes.get(dirent.node)?.nid ?? 0), direntAt);
      into.writeUInt16LE(nameAt, direntAt + 8);
      into.writeUInt8(TYPES[dirent.node.kind].dirent, direntAt + 10);
      dirent.name.copy(into, at + nameAt);
      nameAt += dirent.name.length;
    }
  }
}

function headOf(image: {
  rootNid: number;
  inodeCount: number;
  nextBlock: number;
  firstBlock: number;
  madeUnixSeconds: number;
}): Buffer {
  const head = Buffer.alloc(EROFS_BLOCK_BYTES);
  const superblock = head.subarray(SUPERBLOCK_AT);
  superblock.writeUInt32LE(MAGIC, 0);
  superblock.writeUInt8(BLOCK_SIZE_BITS, 12);
  superblock.writeUInt16LE(image.rootNid, 14);
  superblock.writeBigUInt64LE(BigInt(image.inodeCount), 16);
  superblock.writeBigUInt64LE(BigInt(image.madeUnixSeconds), 24);
  superblock.writeUInt32LE(image.nextBlock, 36);
  superblock.writeUInt32LE(image.firstBlock, 40);
  return head;
}

function linkCountOf(node: ErofsNode): number {
  if (node.kind === 'link') return 1;
  if (node.kind === 'file') return node.nameCount;
  let folders = 0;
  for (const child of node.children.values()) if (child.kind === 'folder') folders += 1;
  return 2 + folders;
}

function bytesOf(dirents: readonly Dirent[]): number {
  return dirents.reduce((sum, { name }) => sum + DIRENT_BYTES + name.length, 0);
}

function hasPartBlock({ sizeBytes, tailBytes }: Inode): boolean {
  return tailBytes === 0 && sizeBytes % EROFS_BLOCK_BYTES > 0;
}

function roundUp(bytes: number, step: number): number {
  return Math.ceil(bytes / step) * step;
}
