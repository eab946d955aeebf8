/** As CONTRACT_VERSION of protocol/runtime-agent-api.ts; a unit test compares them. */
export const CONTRACT_VERSION = '1.0';
