/** metav1.MicroTime: exactly six digits. A `Date` printed as ISO has three, and an apiserver cannot parse it. */
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;

export function microTimeProblems(object: Readonly<Record<string, unknown>>, fields: readonly string[]): string[] {
  return fields.flatMap((field) => {
    const value = object[field];
    if (value === undefined || (typeof value === 'string' && MICRO_TIME.test(value))) return [];
    return [`parsing time ${JSON.stringify(value)} of ${field} as "2006-01-02T15:04:05.000000Z07:00"`];
  });
}
