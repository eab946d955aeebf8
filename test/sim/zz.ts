import { World } from './world.ts';
Error.stackTraceLimit = 0;
for (let seed = 11; seed <= 60; seed++) { const r = await new World({ seed, sabotage: { everybodyLeads: true }, invariants: ['I3'] }).run(); if (r.violation) console.log(seed, r.violation.message); }
