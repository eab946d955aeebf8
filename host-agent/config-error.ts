/** A mistake in flags or environment: said in one sentence, exit code 2. */
export class ConfigError extends Error {}
