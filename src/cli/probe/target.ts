import { resources } from '../../kube/resources.ts';
import type { Service } from '../../kube/types.ts';
import { CirriError } from '../../std/errors.ts';
import { isAddr } from '../../std/ip.ts';
import { cgroupRoot } from '../../sys/cgroup.ts';
import { systemCgroup } from '../../cluster/children.ts';
import type { Context } from '../context.ts';
import { choosePod, localPod, splitName, type PodObject } from '../pods.ts';
import type { Origin } from './helper.ts';

export interface Target {
  readonly label: string;
  /** An address, or a name that the pod asks the cluster's DNS for. */
  readonly host: string;
}

/** The cluster's pods and services, read once for any number of names. */
export class Directory {
  readonly #context: Context;
  readonly #pods: readonly PodObject[];
  readonly #services: readonly Service[];
  readonly #origins = new Map<string, Origin & { readonly namespace: string }>();

  private constructor(context: Context, pods: readonly PodObject[], services: readonly Service[]) {
    this.#context = context;
    this.#pods = pods;
    this.#services = services;
  }

  static async read(context: Context): Promise<Directory> {
    const [pods, services] = await Promise.all([context.client.list<PodObject>(resources.pods), context.client.list<Service>(resources.services)]);
    return new Directory(context, pods.items, services.items);
  }

  /** `NS/POD`, a workload's name, or a node's name. */
  origin(text: string): Origin & { readonly namespace: string } {
    let origin = this.#origins.get(text);
    if (!origin) this.#origins.set(text, (origin = this.#findOrigin(text)));
    return origin;
  }

  #findOrigin(text: string): Origin & { readonly namespace: string } {
    const { record, paths, instance } = this.#context;
    const node = record.nodes.find(candidate => candidate.name === text);
    if (node) return { label: node.name, netns: paths.node(node.name).netns, cgroup: systemCgroup(cgroupRoot(), instance, node.name), namespace: 'default' };
    const { namespace, name } = splitName(text);
    const pod = localPod(this.#context, choosePod(this.#pods, namespace, name));
    return { label: `${pod.namespace}/${pod.name}`, netns: pod.netns, cgroup: pod.cgroup, namespace };
  }

  /** An address; `NS/POD` or `NS/SERVICE`; `SERVICE.NS`; a node; anything else is a name for the cluster's DNS. */
  target(text: string, family: 0 | 4 | 6): Target {
    if (isAddr(text)) return { label: text, host: text };
    const node = this.#context.record.nodes.find(candidate => candidate.name === text);
    if (node) return { label: text, host: family === 6 ? node.underlay6 : node.underlay4 };
    if (text.includes('/')) return this.#podOrService(text, family);
    const [name, namespace, ...more] = text.split('.');
    const service = more.length === 0 && namespace !== undefined ? this.#service(namespace, name!) : undefined;
    return { label: text, host: (service && addressOf(clusterIps(service), family)) ?? text };
  }

  #podOrService(text: string, family: 0 | 4 | 6): Target {
    const { namespace, name } = splitName(text);
    const exact = this.#pods.find(pod => pod.metadata.namespace === namespace && pod.metadata.name === name);
    // A workload and its service often share a name: the service is what is meant.
    const service = exact ? undefined : this.#service(namespace, name);
    const addresses = service ? clusterIps(service) : podIps(exact ?? choosePod(this.#pods, namespace, name));
    const host = addressOf(addresses, family);
    if (host === undefined) throw new CirriError('ERR_NO_ADDRESS', `${text} has no ${family === 0 ? '' : `IPv${family} `}address`, { mend: `cirri get pods,services -n ${namespace} -o wide` });
    return { label: text, host };
  }

  #service(namespace: string, name: string): Service | undefined {
    return this.#services.find(service => service.metadata.namespace === namespace && service.metadata.name === name);
  }
}

function clusterIps(service: Service): string[] {
  const { clusterIPs, clusterIP } = service.spec as { clusterIPs?: readonly string[]; clusterIP?: string };
  return (clusterIPs ?? (clusterIP === undefined ? [] : [clusterIP])).filter(isAddr);
}

function podIps(pod: PodObject): string[] {
  return (pod.status?.podIPs ?? []).map(entry => entry.ip);
}

function addressOf(addresses: readonly string[], family: 0 | 4 | 6): string | undefined {
  if (family === 0) return addresses.find(ip => !ip.includes(':')) ?? addresses[0];
  return addresses.find(ip => ip.includes(':') === (family === 6));
}
