/**
 * Built-in modules that are not to be imported by `import`: that reads every export, also the lazy ones, and `node:http` has
 * one that loads Node's whole WebSocket and fetch client (8 MB in every standby pod; docs/decisions/0003).
 */
export const http = process.getBuiltinModule('node:http');
export const crypto = process.getBuiltinModule('node:crypto');
