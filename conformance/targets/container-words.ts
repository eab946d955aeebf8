/**
 * One container per standby process: in the host's network, so that the served port can be reached, with its folder and the functions
 * at the paths they have here. It runs until its stdin ends.
 */
export function containerWords(
  tool: string,
  image: string,
  codePath: string,
): (folder: string, settings: Record<string, string>) => string[] {
  return (folder, settings) => [
    tool,
    'run',
    '--rm',
    '--interactive',
    '--network=host',
    '--volume',
    `${folder}:${folder}`,
    '--volume',
    `${codePath}:${codePath}:ro`,
    ...Object.entries(settings).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    image,
  ];
}
