import { z } from 'zod';

/** Who makes a form of a tree: a program that is started for each, or one in another container that is asked over its socket. */
export type PreparerWish = { command: readonly [string, ...string[]] } | { socketPath: string };

const SOCKET = /^unix:(\/.+)$/;

/** Of the command line: a JSON list of words, of which `{tree}` stands for the tree, or `unix:` and the path of a socket. */
export function parsePreparer(text: string, context: z.RefinementCtx): PreparerWish {
  const [, socketPath] = SOCKET.exec(text) ?? [];
  if (socketPath !== undefined) return { socketPath };
  try {
    return { command: z.tuple([z.string().min(1)], z.string()).parse(JSON.parse(text)) };
  } catch {
    context.addIssue(
      'must be a JSON list of strings, for example ["/usr/bin/node", "prepare.mjs", "{tree}"], or unix:/path/of.sock',
    );
    return z.NEVER;
  }
}
