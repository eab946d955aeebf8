'use strict';
const { createHash, randomUUID } = require('node:crypto');
const { readFile } = require('node:fs/promises');

/**
 * Touches what functions commonly touch.
 * @param {{ fails?: boolean }} event @param {{ requestId: string, http: { query: Record<string, string> } }} context
 */
exports.handler = async (event, context) => {
  if (event.fails) throw new Error('rehearsed');
  console.log('rehearsal', context.requestId);
  console.error(JSON.stringify({ at: new Date(0).toISOString(), id: randomUUID() }));
  await new Promise((resolve) => setTimeout(resolve, 1));
  const text = await readFile(__filename, 'utf8');
  const url = new URL(`http://localhost/?${new URLSearchParams(context.http.query).toString()}`);
  return {
    statusCode: 200,
    headers: {},
    body: { hash: createHash('sha256').update(text).digest('hex'), url: url.href },
  };
};
