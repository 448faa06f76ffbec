/** What containers take from the API: ConfigMaps, Secrets, service-account tokens. Kept for a moment, so that 100 pods of one Deployment ask once. */
import { KubeError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import type { KubeClient } from '../kube/client.ts';

export type Data = Readonly<Record<string, Buffer>>;

export interface Token {
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface TokenWish {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
  readonly pod: { readonly name: string; readonly uid: string };
}

export interface ObjectSource {
  configMap(namespace: string, name: string): Promise<Data | undefined>;
  secret(namespace: string, name: string): Promise<Data | undefined>;
  /** Undefined when the API gives no tokens, or knows no such account. */
  token(wish: TokenWish): Promise<Token | undefined>;
}

/** Younger answers are used again. */
const freshMs = 5_000;

export class ApiObjects implements ObjectSource {
  readonly #client: Pick<KubeClient, 'get' | 'createSubresource'>;
  readonly #kept = new Map<string, { readonly at: number; readonly answer: Promise<Data | undefined> }>();

  constructor(client: Pick<KubeClient, 'get' | 'createSubresource'>) {
    this.#client = client;
  }

  configMap(namespace: string, name: string): Promise<Data | undefined> {
    return this.#keep(`configmap/${namespace}/${name}`, async () => {
      const object = await this.#client.get(resources.configMaps, name, namespace);
      return object && { ...decoded(object['data'], 'utf8'), ...decoded(object['binaryData'], 'base64') };
    });
  }

  secret(namespace: string, name: string): Promise<Data | undefined> {
    return this.#keep(`secret/${namespace}/${name}`, async () => {
      const object = await this.#client.get(resources.secrets, name, namespace);
      return object && { ...decoded(object['data'], 'base64'), ...decoded(object['stringData'], 'utf8') };
    });
  }

  async token(wish: TokenWish): Promise<Token | undefined> {
    const request = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { name: wish.serviceAccount, namespace: wish.namespace },
      spec: {
        ...(wish.audience === undefined ? {} : { audiences: [wish.audience] }),
        expirationSeconds: wish.expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: wish.pod.name, uid: wish.pod.uid },
      },
    };
    try {
      const answer = await this.#client.createSubresource(resources.serviceAccounts, wish.serviceAccount, wish.namespace, 'token', request);
      const status = (answer as { status?: { token?: string; expirationTimestamp?: string } } | undefined)?.status;
      if (!status?.token) return undefined;
      return { token: status.token, expiresAt: Date.parse(status.expirationTimestamp ?? '') || Date.now() + wish.expirationSeconds * 1000 };
    } catch (error) {
      if (error instanceof KubeError && (error.status === 404 || error.status === 405)) return undefined;
      throw error;
    }
  }

  #keep(key: string, fetch: () => Promise<Data | undefined>): Promise<Data | undefined> {
    const now = Date.now();
    const kept = this.#kept.get(key);
    if (kept && now - kept.at < freshMs) return kept.answer;
    for (const [other, entry] of this.#kept) if (now - entry.at >= freshMs) this.#kept.delete(other);
    const answer = fetch();
    this.#kept.set(key, { at: now, answer });
    // A failure is not worth keeping; whoever awaits it sees it.
    answer.catch(() => this.#kept.delete(key));
    return answer;
  }
}

function decoded(data: unknown, encoding: 'utf8' | 'base64'): Record<string, Buffer> {
  return Object.fromEntries(Object.entries((data ?? {}) as Record<string, string>).map(([key, value]) => [key, Buffer.from(value, encoding)]));
}
