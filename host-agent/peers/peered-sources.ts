import type { CodeSources } from '../blob/blob-sources.ts';
import { artefactId, type WantedCode } from '../core/cache-key.ts';
import type { Download, DownloadTail, DownloadWish, Downloader } from '../blob/downloader.ts';
import { isHostError } from '../errors.ts';
import type { ArtefactStore, IncomingArtefact } from './artefact-store.ts';
import type { PeerDirectory } from './peer-directory.ts';
import type { PeerStore } from './peer-store.ts';

export interface PeeredSourcesDeps {
  origin: CodeSources;
  directory: PeerDirectory;
  peers: PeerStore;
  artefacts: ArtefactStore;
  downloader: Downloader;
  onProblem: (error: unknown) => void;
}

/** Other nodes first, then where the code is from; whatever comes is written down as it comes, for other nodes. */
export class PeeredSources implements CodeSources {
  readonly #deps: PeeredSourcesDeps;

  constructor(deps: PeeredSourcesDeps) {
    this.#deps = deps;
  }

  async open(code: WantedCode, wish: DownloadWish): Promise<Download> {
    const { origin, artefacts, onProblem } = this.#deps;
    const download = (await this.#fromPeers(code, wish)) ?? (await origin.open(code, wish));
    // a disk that takes no copy must not cost anybody the code
    const incoming = await artefacts.begin(artefactId(code), download.sizeBytes).catch((error: unknown) => {
      onProblem(error);
      return undefined;
    });
    return incoming === undefined ? download : new CopiedDownload(download, incoming, onProblem);
  }

  async #fromPeers(code: WantedCode, wish: DownloadWish): Promise<Download | undefined> {
    const { directory, peers, downloader } = this.#deps;
    if (wish.originOnly === true || directory.peersOf(code.digest).length === 0) return undefined;
    try {
      return await downloader.open(peers, artefactId(code), 'peers', wish);
    } catch (error) {
      if (isHostError(error, 'StoreUnreachable')) return undefined;
      throw error;
    }
  }
}

class CopiedDownload implements Download {
  readonly #download: Download;
  readonly #incoming: IncomingArtefact;
  readonly #onProblem: (error: unknown) => void;
  #isRight = false;

  constructor(download: Download, incoming: IncomingArtefact, onProblem: (error: unknown) => void) {
    this.#download = download;
    this.#incoming = incoming;
    this.#onProblem = onProblem;
  }

  get sizeBytes(): number | undefined {
    return this.#download.sizeBytes;
  }

  get stream(): AsyncIterable<Uint8Array> {
    return this.#copied();
  }

  get tail(): Promise<DownloadTail> | undefined {
    return this.#download.tail;
  }

  get blame(): (() => void) | undefined {
    return this.#download.blame;
  }

  verified(): void {
    this.#isRight = true;
    this.#incoming.keep().catch(this.#onProblem);
  }

  close(): void {
    this.#download.close();
    if (!this.#isRight) this.#incoming.discard().catch(this.#onProblem);
  }

  async *#copied(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#download.stream) {
      await this.#incoming.append(chunk).catch(async (error: unknown) => {
        this.#onProblem(error);
        await this.#incoming.discard();
      });
      yield chunk;
    }
  }
}
