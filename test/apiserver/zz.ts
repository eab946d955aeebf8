import { findOrBuild } from './binaries.ts';
const t = Date.now();
for (const n of ['etcd', 'kube-apiserver'] as const) console.log(await findOrBuild(n, { ...process.env, XDG_CACHE_HOME: '/tmp/xdg-test' }), Date.now() - t);
