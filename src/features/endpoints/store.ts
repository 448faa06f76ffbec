import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Endpoint } from './endpoint.ts';

/**
 * The endpoints' records on disk, one file each, replaced atomically. They outlive the agent; the kernel's objects (veth,
 * pinned links, map rows) do too, and the two are compared at start.
 */
export class EndpointStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** All records. A file that cannot be read as one is reported, not deleted: somebody must look. */
  load(): { readonly endpoints: Endpoint[]; readonly broken: { readonly file: string; readonly error: string }[] } {
    const endpoints: Endpoint[] = [];
    const broken: { file: string; error: string }[] = [];
    for (const name of readdirSync(this.#directory)) {
      if (!name.endsWith('.json')) continue;
      const file = join(this.#directory, name);
      try {
        endpoints.push(JSON.parse(readFileSync(file, 'utf8')) as Endpoint);
      } catch (error) {
        broken.push({ file, error: String(error) });
      }
    }
    return { endpoints, broken };
  }

  save(endpoint: Endpoint): void {
    const file = this.#file(endpoint.id);
    writeFileSync(`${file}.new`, JSON.stringify(endpoint), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  remove(id: number): void {
    rmSync(this.#file(id), { force: true });
  }

  /** A number never given before on this node, not even to an endpoint that is gone. */
  nextId(): number {
    const file = join(this.#directory, 'last-id');
    const next = (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0) + 1;
    if (!Number.isSafeInteger(next)) throw new Error(`${file} does not hold a number: remove it when no pod runs on this node`);
    writeFileSync(`${file}.new`, String(next), { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return next;
  }

  #file(id: number): string {
    return join(this.#directory, `${id}.json`);
  }
}
