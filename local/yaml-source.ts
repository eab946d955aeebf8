import { LineCounter, isAlias, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';
import type { Document, Node, ParsedNode } from 'yaml';

/** YAML text whose values still know where they were written. */

export type FieldPath = readonly (string | number)[];

export interface Position {
  line: number;
  column: number;
}

export interface SourceProblem extends Position {
  file: string;
  /** `spec.claims.onEmpty`; empty when the whole document is meant. */
  field: string;
  message: string;
}

export interface SourceDocument {
  value: unknown;
  /** Of the value at `path`, or of what comes closest to a value that is not there. */
  positionOf(path: FieldPath): Position;
  /** Of the key that ends `path`. */
  positionOfKey(path: FieldPath): Position;
}

export interface ParsedSource {
  documents: SourceDocument[];
  problems: SourceProblem[];
}

export function parseSource(file: string, text: string): ParsedSource {
  const lines = new LineCounter();
  const parsed = parseAllDocuments<ParsedNode>(text, { lineCounter: lines, prettyErrors: false });
  const documents: SourceDocument[] = [];
  const problems: SourceProblem[] = [];
  if (!Array.isArray(parsed)) return { documents, problems };
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  for (const document of parsed) {
    for (const error of document.errors) {
      problems.push({ file, ...at(error.pos[0]), field: '', message: `is not valid YAML: ${error.message}` });
    }
    if (document.errors.length > 0 || document.contents === null) continue;
    try {
      const value: unknown = document.toJS({ maxAliasCount: 100 });
      if (value !== null) documents.push(locatable(document, value, at));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      problems.push({ file, ...at(document.range?.[0] ?? 0), field: '', message: `is not valid YAML: ${reason}` });
    }
  }
  return { documents, problems };
}

/** `file:line:column field: message`, the form that editors and terminals make clickable. */
export function describeSourceProblem({ file, line, column, field, message }: SourceProblem): string {
  return `${file}:${line}:${column} ${field === '' ? '' : `${field}: `}${message}`;
}

export function fieldName(path: FieldPath): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${part}`))
    .join('');
}

function locatable(document: Document.Parsed, value: unknown, at: (offset: number) => Position): SourceDocument {
  const find = (path: FieldPath, wantsKey: boolean): Position => {
    let offset = document.contents?.range?.[0] ?? 0;
    let node: Node | null | undefined = document.contents;
    for (const [index, part] of path.entries()) {
      if (isAlias(node)) node = node.resolve(document);
      const step = descend(node, part);
      if (step === undefined) break;
      const isLast = index === path.length - 1;
      const wanted = isLast && !wantsKey ? (step.value ?? step.key) : (step.key ?? step.value);
      offset = wanted?.range?.[0] ?? offset;
      node = step.value;
    }
    return at(offset);
  };
  return {
    value,
    positionOf: (path) => find(path, false),
    positionOfKey: (path) => find(path, true),
  };
}

function descend(
  node: Node | null | undefined,
  part: string | number,
): { key: Node | undefined; value: Node | null | undefined } | undefined {
  if (isSeq(node)) {
    const item = node.items[Number(part)] as Node | undefined;
    return item === undefined ? undefined : { key: undefined, value: item };
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
  return pair === undefined ? undefined : { key: pair.key as Node, value: pair.value as Node | null };
}
