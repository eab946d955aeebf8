/** A URL as it may be shown: signed queries, user names and passwords never leave this process. */
export function publicUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}
