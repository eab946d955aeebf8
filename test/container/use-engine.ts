import type { Engine } from './engine.ts';

/** To be called before the first container is started: testcontainers finds its engine by the environment. */
export function useEngine({ socket, host }: Engine): void {
  Object.assign(process.env, {
    DOCKER_HOST: `unix://${socket}`,
    TESTCONTAINERS_HOST_OVERRIDE: host,
    // its image cannot be had everywhere; containers end with the engine
    TESTCONTAINERS_RYUK_DISABLED: 'true',
  });
}
