import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { machine, round } from '../figures.ts';
import type { Format, Tree, TreeKind } from './artefacts.ts';
import { makeTree, pack, stamped } from './artefacts.ts';
import type { DeliveryBenchConfig } from './config.ts';
import type { Contender } from './contenders.ts';
import { contenders, countFiles } from './contenders.ts';
import { OurNode } from './our-node.ts';

export interface DeliveryRow {
  /** Of the tree, unpacked. */
  sizeMB: number;
  /** Of the archive. */
  packedMB: number;
  tree: TreeKind;
  files: number;
  format: Format;
  /** Medians. */
  fetchToVisibleMs: Record<string, number>;
  /** The fastest other's time over ours. */
  ratio: number;
  firstFileMs: number;
  peakRssMiB: number;
}

export interface DeliveryBenchResult {
  rows: DeliveryRow[];
  rounds: number;
  link: { roundTripMs: number; bytesPerSecondPerConnection: number };
  /** Of the host-agent: it runs for long and keeps its connections; the others open theirs each time. */
  connections: 'kept' | 'cold';
  /** What the host-agent makes of an archive of many files: one file that it mounts, or a folder as the others do. */
  treeForm: 'erofs image' | 'folder';
  machine: ReturnType<typeof machine>;
}

/** Brings the same archives to disk by every way, one after the other within each round, so that all meet the same machine. */
export async function benchDelivery(config: DeliveryBenchConfig): Promise<DeliveryBenchResult> {
  const folder = mkdtempSync(join(config.folder, 'warmpool-delivery-'));
  const store = join(folder, 'store', 'bucket');
  mkdirSync(store, { recursive: true });
  const { roundTripMs, bytesPerSecond, rounds, coldConnections } = config;
  const link = fork(fileURLToPath(new URL('./link.ts', import.meta.url)), [
    join(folder, 'store'),
    String(roundTripMs),
    String(bytesPerSecond),
  ]);
  try {
    const [port] = (await once(link, 'message')) as [number];
    /** The host-agent, which keeps its connections, begins with a handshake too. */
    const hangUp = async (): Promise<void> => {
      link.send('hang up');
      await once(link, 'message');
    };
    const others = contenders(port);
    const rows: DeliveryRow[] = [];
    let treeForm: DeliveryBenchResult['treeForm'] = 'folder';
    for (const sizeMB of config.sizesMB) {
      for (const kind of config.trees) {
        const tree = makeTree(join(folder, 'tree'), kind, sizeMB);
        for (const format of config.formats) {
          process.stderr.write(`${sizeMB} MB, ${tree.files} files, ${format}: `);
          const setting = { folder, store, tree, format, port, others, rounds, hangUp, coldConnections };
          const { row, form } = await benchRow(setting);
          treeForm = form;
          process.stderr.write(`${JSON.stringify(row.fetchToVisibleMs)}, peak RSS ${row.peakRssMiB} MiB\n`);
          rows.push(row);
        }
        rmSync(tree.folder, { recursive: true });
      }
    }
    for (const other of others) other.end();
    const shape = { roundTripMs, bytesPerSecondPerConnection: bytesPerSecond };
    return { rows, rounds, link: shape, connections: coldConnections ? 'cold' : 'kept', treeForm, machine: machine() };
  } finally {
    link.disconnect();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface RowSetting {
  folder: string;
  store: string;
  tree: Tree;
  format: Format;
  port: number;
  others: Contender[];
  rounds: number;
  hangUp: () => Promise<void>;
  coldConnections: boolean;
}

async function benchRow(setting: RowSetting): Promise<{ row: DeliveryRow; form: DeliveryBenchResult['treeForm'] }> {
  const { folder, store, tree, format, port, others, rounds, hangUp, coldConnections } = setting;
  const samples: Record<string, number[]> = {};
  const firstFile: number[] = [];
  const nodeFolder = join(folder, 'node');
  mkdirSync(nodeFolder);
  const ours = await OurNode.start(nodeFolder);
  const archive = join(folder, `archive.${format}`);
  pack(tree, format, archive);
  const packed = readFileSync(archive);
  rmSync(archive);
  // the first round is nobody's: every contender's code and files are then in memory
  for (let round = 0; round <= rounds; round++) {
    const file = `${round}.${format}`;
    const bytes = stamped(packed, format, round);
    writeFileSync(join(store, file), bytes);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const add = (name: string, ms: number): void => void (round > 0 && (samples[name] ??= []).push(ms));
    if (coldConnections) await hangUp();
    const loaded = await ours.load(`http://127.0.0.1:${port}/bucket/${file}`, digest, format);
    add('ours', loaded.visibleMs);
    if (round > 0) firstFile.push(loaded.firstFileMs);
    checkCount('ours', loaded.tree, tree);
    for (const other of others) {
      const target = join(folder, 'target');
      const startedMs = performance.now();
      await other.bring(`bucket/${file}`, format, target);
      add(other.name, performance.now() - startedMs);
      if (round === 0) checkCount(other.name, other.treeIn(target), tree);
      rmSync(target, { recursive: true });
    }
    rmSync(join(store, file));
  }
  const peakRssMiB = ours.peakRssMiB();
  const form = ours.treeForm;
  await ours.end();
  rmSync(nodeFolder, { recursive: true });
  const medians = Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, round(median(values))]));
  const { ours: ownMs = Number.NaN, ...theirs } = medians;
  const row = {
    sizeMB: tree.sizeMB,
    packedMB: round(packed.length / 2 ** 20),
    tree: tree.kind,
    files: tree.files,
    format,
    fetchToVisibleMs: medians,
    ratio: round(Math.min(...Object.values(theirs)) / ownMs),
    firstFileMs: round(median(firstFile)),
    peakRssMiB,
  };
  return { row, form };
}

function checkCount(name: string, folder: string, tree: Tree): void {
  const files = countFiles(folder);
  if (files !== tree.files) throw new Error(`${name} brought ${files} files instead of ${tree.files}`);
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function deliveryTable({
  rows,
  link,
  rounds,
  treeForm,
  machine: { cpu, cores, kernel, node },
}: DeliveryBenchResult): string {
  const names = Object.keys(rows[0]?.fetchToVisibleMs ?? {});
  const line = (cells: (string | number)[]): string =>
    cells.map((cell, index) => String(cell).padEnd(index === 0 ? 38 : 19)).join('');
  return [
    `from the request to the verified tree, ms, median of ${rounds}; ${link.roundTripMs} ms round trip, ${link.bytesPerSecondPerConnection / 1e6} MB/s for each connection; ours makes of many files a${treeForm === 'folder' ? '' : 'n'} ${treeForm}`,
    line(['', ...names, 'ratio', 'first file', 'peak RSS MiB']),
    ...rows.map((row) =>
      line([
        `${row.sizeMB} MB, ${row.files} files, ${row.format} ${row.packedMB}`,
        ...names.map((name) => row.fetchToVisibleMs[name] ?? ''),
        row.ratio,
        row.firstFileMs,
        row.peakRssMiB,
      ]),
    ),
    `${cpu}, ${cores} cores, kernel ${kernel}, Node ${node}`,
  ].join('\n');
}
