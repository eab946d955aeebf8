import { createHmac } from 'node:crypto';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { grantPayload, type HostLoadReply, type HostLoadRequest } from '@warmpool/protocol/host-agent-api.ts';
import { sleep, type Clock } from '@warmpool/operator/engine/clock.ts';
import { HostAgentError } from '@warmpool/operator/claims/host-agent-client.ts';
import type { Faults } from './faults.ts';
import type { Prng } from './prng.ts';
import type { Profile } from './profile.ts';
import type { RuntimeProcess } from './runtime-process.ts';
import type { Sabotage } from './sabotage.ts';
import type { SimNode } from './sim-node.ts';

export interface HostAgentDeps {
  clock: Clock;
  random: Prng;
  faults: Faults;
  profile: Profile;
  node: SimNode;
  grantKey: Buffer;
  sabotage: Sabotage;
  onLoad(process: RuntimeProcess): void;
  onKill(process: RuntimeProcess): void;
}

/** A function by this name throws while it is imported. */
export const BROKEN_FUNCTION = 'broken';

/** The node's host-agent by its contract: grants checked and used once, one load for each process, restarts that forget. */
export class SimHostAgent {
  readonly node: SimNode;
  readonly #deps: HostAgentDeps;
  #nonces = new Set<string>();
  /** Which claim each process was promised to, whatever came of it. */
  #promised = new Map<string, string>();
  #loads = new Map<string, Promise<HostLoadReply>>();
  #isUp = true;
  /** Counts restarts: what was under way before one is never answered. */
  #life = 0;

  constructor(deps: HostAgentDeps) {
    this.#deps = deps;
    this.node = deps.node;
  }

  get isUp(): boolean {
    return this.#isUp && this.node.isReachable;
  }

  restart(downMs: number): void {
    this.#life++;
    this.#isUp = false;
    this.#nonces = new Set();
    this.#promised = new Map();
    this.#loads = new Map();
    this.#deps.clock.after(downMs, () => (this.#isUp = true));
  }

  async load(request: HostLoadRequest): Promise<HostLoadReply> {
    const life = this.#life;
    const process = this.#admit(request);
    const { claimId } = request.grant;
    const key = `${process.epoch} ${claimId}`;
    const known = this.#loads.get(key);
    const load = known ?? this.#run(process, request);
    this.#loads.set(key, load);
    try {
      return await load;
    } finally {
      if (life !== this.#life) await new Promise(() => undefined);
    }
  }

  kill(podUid: PodUid): { statusCode: number; state: string } {
    const process = this.node.processes.get(podUid);
    if (process === undefined) throw new HostAgentError(404, 'PodUnknown', `pod ${podUid} is not on this node`);
    this.#deps.onKill(process);
    process.terminate();
    return { statusCode: 200, state: process.state };
  }

  #admit({ grant, deadlineUnixMs }: HostLoadRequest): RuntimeProcess {
    const { clock, grantKey, node } = this.#deps;
    const { signature, ...signed } = grant;
    const expected = createHmac('sha256', grantKey).update(grantPayload(signed)).digest('hex');
    if (signature !== expected) throw new HostAgentError(403, 'BadGrant', 'the grant has a wrong signature');
    if (grant.expiresAtUnixMs <= clock.now()) throw new HostAgentError(403, 'BadGrant', 'the grant has expired');
    if (this.#nonces.has(grant.nonce)) throw new HostAgentError(403, 'BadGrant', 'the grant has been used before');
    this.#nonces.add(grant.nonce);
    if (deadlineUnixMs <= clock.now()) throw new HostAgentError(504, 'DeadlineExceeded', 'the deadline has passed');
    const process = node.processes.get(grant.podUid);
    if (process === undefined) throw new HostAgentError(404, 'PodUnknown', `pod ${grant.podUid} is not on this node`);
    this.#passGate(process, grant.epoch, grant.claimId);
    return process;
  }

  #passGate(process: RuntimeProcess, epoch: string, claimId: string): void {
    const notStandby = (words: string): HostAgentError => new HostAgentError(409, 'PodNotStandby', words);
    if (process.epoch !== epoch) throw notStandby('its process is not the one that was granted');
    if (this.#deps.sabotage.acceptsTwoLoads === true && process.isAlive) return;
    const owner = this.#promised.get(epoch) ?? process.claimId;
    if (owner !== undefined && owner !== claimId) throw notStandby('another claim has it');
    if (!process.isAlive || (owner === undefined && process.state !== 'standby'))
      throw notStandby(`its state is ${process.state}`);
    this.#promised.set(epoch, claimId);
  }

  async #run(process: RuntimeProcess, request: HostLoadRequest): Promise<HostLoadReply> {
    const { clock, random, faults, profile, sabotage } = this.#deps;
    const life = this.#life;
    const { grant, deadlineUnixMs } = request;
    await sleep(clock, random.next() * 30);
    // a restart before anything was sent to the process leaves it standing by
    if (life !== this.#life) throw new HostAgentError(0, 'NoAnswer', 'the host-agent restarted');
    const isAnswered = process.claimId === grant.claimId && process.state !== 'standby';
    if (!isAnswered) {
      if (process.state !== 'standby' && sabotage.acceptsTwoLoads !== true)
        throw new HostAgentError(409, 'PodNotStandby', `its state is ${process.state}`);
      process.beginLoad(grant.claimId);
      this.#deps.onLoad(process);
    }
    const importMs = faults.chance(profile.pods.slowLoadChance) ? random.int(1_000, 14_000) : random.int(1, 60);
    const limitMs = Math.max(1, Math.min(deadlineUnixMs - clock.now(), request.limits.initTimeoutMs + 1_000));
    if (faults.chance(profile.pods.diesInLoadChance)) {
      await sleep(clock, importMs / 2);
      process.fail('PodLost', 'its process ended during the load');
    } else if (importMs > limitMs) {
      await sleep(clock, limitMs);
      process.fail('InitTimeout', `importing took longer than ${limitMs} ms`);
      throw new HostAgentError(504, 'InitTimeout', `importing took longer than ${limitMs} ms`);
    } else {
      await sleep(clock, importMs);
    }
    if (request.function.name === BROKEN_FUNCTION) {
      process.fail('UserCodeError', 'the module threw');
      throw new HostAgentError(422, 'UserCodeError', 'the module threw', { phase: 'import' });
    }
    process.endLoad();
    if (!process.isLoaded) throw new HostAgentError(502, 'PodLost', 'its process ended during the load');
    const timings = { fetchMs: 0, unpackMs: 0, mountMs: 0, loadMs: importMs, importMs, totalMs: importMs };
    const { address, epoch, podUid } = process;
    return { claimId: grant.claimId, podUid, epoch, address, codeSource: 'cache', timings };
  }
}
