/** metav1.Time: whole seconds. */
export function metaTime(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** metav1.MicroTime: the apiserver's parser takes six digits and nothing else. */
export function microTime(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/Z$/, '000Z');
}
