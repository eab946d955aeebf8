/** What a store says about the version of an object: enough to notice that a later answer is about another one. */
export interface ObjectVersion {
  etag?: string;
  lastModified?: string;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

export function versionOf(headers: Headers): ObjectVersion {
  const { etag, 'last-modified': lastModified } = headers;
  return {
    ...(typeof etag === 'string' ? { etag } : {}),
    ...(typeof lastModified === 'string' ? { lastModified } : {}),
  };
}

/** A weak ETag never matches in If-Match; {@link isSameVersion} then has to do. */
export function ifMatchOf({ etag }: ObjectVersion): string | undefined {
  return etag === undefined || etag.startsWith('W/') ? undefined : etag;
}

/** A cache in between may leave a header out; what both say must agree. */
export function isSameVersion(first: ObjectVersion, later: ObjectVersion): boolean {
  const strip = (etag: string): string => etag.replace(/^W\//, '');
  if (first.etag !== undefined && later.etag !== undefined) return strip(first.etag) === strip(later.etag);
  return (
    first.lastModified === undefined || later.lastModified === undefined || first.lastModified === later.lastModified
  );
}

export interface ContentRange {
  startByte: number;
  endByte: number;
  sizeBytes: number;
}

/** `bytes 0-99/1000`; undefined for what is not of this form or not consistent. */
export function parseContentRange(header: string | string[] | undefined): ContentRange | undefined {
  const match = typeof header === 'string' ? /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(header) : null;
  if (match === null) return undefined;
  const [startByte, last, sizeBytes] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return last < startByte || last >= sizeBytes ? undefined : { startByte, endByte: last + 1, sizeBytes };
}
