import { hostError } from '../errors.ts';

export interface OciReference {
  /** Host and port. */
  registry: string;
  repository: string;
  /** A tag, or the digest of a manifest. */
  reference?: string;
  layerDigest: string;
  /** As a person wrote it. */
  shown: string;
}

const sourcePattern =
  /^oci:\/\/([A-Za-z0-9.-]+(?::\d{1,5})?)\/([a-z0-9]+(?:[._/-]{1,2}[a-z0-9]+)*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127})|@(sha256:[0-9a-f]{64}))?$/;

/** `oci://registry/repository[:tag|@sha256:…]`, and after a `#` the digest of the layer. */
export function parseOciSource(source: string): OciReference {
  const [shown = '', layerDigest = ''] = source.split('#');
  const match = sourcePattern.exec(shown);
  if (match === null) {
    throw hostError.sourceNotAllowed(shown, 'it is not of the form oci://registry/repository[:tag|@sha256:digest]');
  }
  const [, registry = '', repository = '', tag, digest] = match;
  const reference = digest ?? tag;
  return { registry, repository, ...(reference === undefined ? {} : { reference }), layerDigest, shown };
}

/** `Bearer realm="https://…",service="…",scope="…"` */
export function parseBearerChallenge(challenge: string): { realm: URL; service?: string } | undefined {
  if (!/^bearer /i.test(challenge)) return undefined;
  const values = new Map(
    [...challenge.matchAll(/([a-z]+)="([^"]*)"/gi)].map(([, name = '', value = '']) => [name, value]),
  );
  const realm = values.get('realm') ?? '';
  if (!URL.canParse(realm)) return undefined;
  const service = values.get('service');
  return { realm: new URL(realm), ...(service === undefined ? {} : { service }) };
}
