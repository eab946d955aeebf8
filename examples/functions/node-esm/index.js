import { readFile } from 'node:fs/promises';
import { nanoid } from 'nanoid';
import pMap from 'p-map';

const phrases = JSON.parse(await readFile(new URL('./phrases.json', import.meta.url), 'utf8'));
const greetings = await pMap(Object.keys(phrases), async (language) => [language, phrases[language]]);

export async function handler(event) {
  const greeting = new Map(greetings).get(event?.language ?? process.env.DEFAULT_LANGUAGE) ?? phrases.en;
  return { id: nanoid(), message: `${greeting}, ${event?.name ?? 'world'}` };
}
