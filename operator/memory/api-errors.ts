import { KubeError, type Resource } from '../engine/kube-client.ts';

/** The answers of a real apiserver, in its words: what reads them in a log cannot tell the two apart. */

function qualified(resource: Resource): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

export function notFound(resource: Resource, name: string): KubeError {
  return new KubeError(404, 'NotFound', `${qualified(resource)} "${name}" not found`);
}

export function noSuchResource(): KubeError {
  return new KubeError(404, 'NotFound', 'the server could not find the requested resource');
}

export function alreadyExists(resource: Resource, name: string, isTerminating: boolean): KubeError {
  const prefix = isTerminating ? 'object is being deleted: ' : '';
  return new KubeError(409, 'AlreadyExists', `${prefix}${qualified(resource)} "${name}" already exists`);
}

export function conflict(resource: Resource, name: string, why: string): KubeError {
  return new KubeError(409, 'Conflict', `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`);
}

export const MODIFIED_SINCE =
  'the object has been modified; please apply your changes to the latest version and try again';

export function invalid(resource: Resource, name: string, problems: readonly string[]): KubeError {
  const kind = resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`;
  const all = problems.length === 1 ? problems[0] : `[${problems.join(', ')}]`;
  return new KubeError(422, 'Invalid', `${kind} "${name}" is invalid: ${all}`);
}

export function badRequest(message: string): KubeError {
  return new KubeError(400, 'BadRequest', message);
}

export function expired(message: string): KubeError {
  return new KubeError(410, 'Expired', message);
}

export function aborted(): KubeError {
  return new KubeError(0, 'Aborted', 'the call was aborted');
}
