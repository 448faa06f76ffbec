import { isAddr, parseAddr } from '../std/ip.ts';
import type { Addr } from '../std/ip.ts';

/** A port of a CiliumLocalRedirectPolicy, parsed. */
export interface RedirectPort {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** '' where none is given. */
  readonly name: string;
}

/** Traffic that the policy catches: to an address, or to a service of its own namespace. */
export type RedirectFrontend =
  | { readonly kind: 'address'; readonly addr: Addr; readonly ports: readonly RedirectPort[] }
  /** Without ports: all of the service's. */
  | { readonly kind: 'service'; readonly service: string; readonly ports: readonly RedirectPort[] };

export interface LabelSelectorInput {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] }[];
}

/** A CiliumLocalRedirectPolicy as it acts. */
export interface LocalRedirectPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: string;
  readonly frontend: RedirectFrontend;
  /** Pods of the policy's namespace. */
  readonly selector: LabelSelectorInput;
  readonly backendPorts: readonly RedirectPort[];
  /** The pods' own traffic to the frontend goes to what the policy stands in for. */
  readonly skipRedirectFromBackend: boolean;
}

/** A finding with its field and what to do. */
export interface RedirectError { readonly path: string; readonly message: string; readonly mend: string }

interface RedirectObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly creationTimestamp?: string };
  readonly spec?: unknown;
}

interface PortInput { readonly port?: unknown; readonly protocol?: unknown; readonly name?: unknown }
interface SpecInput {
  readonly redirectFrontend?: {
    readonly addressMatcher?: { readonly ip?: string; readonly toPorts?: readonly PortInput[] };
    readonly serviceMatcher?: { readonly serviceName?: string; readonly namespace?: string; readonly toPorts?: readonly PortInput[] };
  };
  readonly redirectBackend?: { readonly localEndpointSelector?: LabelSelectorInput; readonly toPorts?: readonly PortInput[] };
  readonly skipRedirectFromBackend?: boolean;
}

/** Reads a policy. With errors there is none: half a redirect would send traffic where nobody meant it to go. Pure. */
export function parseLocalRedirect(object: RedirectObject): { readonly policy?: LocalRedirectPolicy; readonly errors: readonly RedirectError[] } {
  const spec = (object.spec ?? {}) as SpecInput;
  const errors: RedirectError[] = [];
  const namespace = object.metadata.namespace ?? '';
  const frontend = frontendOf(spec.redirectFrontend ?? {}, namespace, errors);
  const backendPorts = portsOf(spec.redirectBackend?.toPorts ?? [], 'spec.redirectBackend.toPorts', errors);
  if (backendPorts.length === 0 && errors.length === 0) errors.push({ path: 'spec.redirectBackend.toPorts', message: 'no port is given', mend: 'name the port of the pods' });
  if (frontend && frontend.ports.length > 0 && errors.length === 0) pairErrors(frontend.ports, backendPorts, errors);
  if (!frontend || errors.length > 0) return { errors };
  return {
    errors,
    policy: {
      namespace, name: object.metadata.name, createdAt: object.metadata.creationTimestamp ?? '', frontend,
      selector: spec.redirectBackend?.localEndpointSelector ?? {}, backendPorts, skipRedirectFromBackend: spec.skipRedirectFromBackend === true,
    },
  };
}

/** What may not change in a policy, as upstream: make another one. */
export function redirectChangeErrors(object: RedirectObject, old: RedirectObject): RedirectError[] {
  const [now, before] = [object.spec, old.spec] as [Record<string, unknown> | undefined, Record<string, unknown> | undefined];
  return ['redirectFrontend', 'redirectBackend', 'skipRedirectFromBackend']
    .filter(field => canonical(now?.[field] ?? null) !== canonical(before?.[field] ?? null))
    .map(field => ({ path: `spec.${field}`, message: `${field} is immutable`, mend: 'delete the policy and create it anew' }));
}

/** JSON whose text says nothing about the order in which fields were written. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (inner !== null && typeof inner === 'object' && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner));
}

/**
 * The port of the pods to which traffic to `wanted` goes; undefined where there is none. One port takes what comes; of several
 * the one with the same name (of the frontend's port, or of the service's).
 */
export function backendPortFor(policy: Pick<LocalRedirectPolicy, 'backendPorts'>, wanted: { readonly name: string; readonly protocol: string }): number | undefined {
  const [only] = policy.backendPorts;
  if (policy.backendPorts.length === 1) return only!.protocol === wanted.protocol ? only!.port : undefined;
  return policy.backendPorts.find(port => port.name === wanted.name && port.protocol === wanted.protocol)?.port;
}

function frontendOf({ addressMatcher, serviceMatcher }: NonNullable<SpecInput['redirectFrontend']>, namespace: string, errors: RedirectError[]): RedirectFrontend | undefined {
  const path = 'spec.redirectFrontend';
  if ((addressMatcher === undefined) === (serviceMatcher === undefined)) {
    errors.push({ path, message: 'one of addressMatcher and serviceMatcher must be given, not both', mend: 'give one' });
    return undefined;
  }
  if (addressMatcher) {
    const ip = addressMatcher.ip ?? '';
    if (!isAddr(ip)) {
      errors.push({ path: `${path}.addressMatcher.ip`, message: `"${ip}" is not an IP address`, mend: 'write an IPv4 or IPv6 address' });
      return undefined;
    }
    const ports = portsOf(addressMatcher.toPorts ?? [], `${path}.addressMatcher.toPorts`, errors);
    if (ports.length === 0 && errors.length === 0) errors.push({ path: `${path}.addressMatcher.toPorts`, message: 'no port is given', mend: 'name the ports to redirect' });
    return { kind: 'address', addr: parseAddr(ip), ports };
  }
  const service = serviceMatcher!.serviceName ?? '';
  if (service === '') errors.push({ path: `${path}.serviceMatcher.serviceName`, message: 'no service is named', mend: 'name a service of the policy\'s namespace' });
  // Whoever writes policies in one namespace has no say about another's services.
  if (serviceMatcher!.namespace !== namespace) {
    errors.push({ path: `${path}.serviceMatcher.namespace`, message: `a policy of namespace ${namespace} cannot redirect a service of namespace ${String(serviceMatcher!.namespace)}`, mend: 'put the policy into the service\'s namespace' });
  }
  return { kind: 'service', service, ports: portsOf(serviceMatcher!.toPorts ?? [], `${path}.serviceMatcher.toPorts`, errors) };
}

function portsOf(list: readonly PortInput[], path: string, errors: RedirectError[]): RedirectPort[] {
  const names = new Set<string>();
  return list.flatMap((input, i) => {
    const port = Number(input.port);
    const protocol = String(input.protocol ?? 'TCP').toUpperCase();
    const name = typeof input.name === 'string' ? input.name.toLowerCase() : '';
    if (!Number.isInteger(port) || port < 1 || port > 65_535) errors.push({ path: `${path}[${i}].port`, message: `"${String(input.port)}" is not a port`, mend: 'write a number from 1 to 65535' });
    else if (protocol !== 'TCP' && protocol !== 'UDP') errors.push({ path: `${path}[${i}].protocol`, message: `"${String(input.protocol)}" is not TCP or UDP`, mend: 'write TCP or UDP' });
    else if (list.length > 1 && name === '') errors.push({ path: `${path}[${i}].name`, message: 'several ports need names', mend: 'give each a name: ports of equal names belong together' });
    else if (list.length > 1 && names.has(name)) errors.push({ path: `${path}[${i}].name`, message: `the name ${name} is given twice`, mend: 'give each port a name of its own' });
    else {
      names.add(name);
      return [{ port, protocol, name } as RedirectPort];
    }
    return [];
  });
}

function pairErrors(frontend: readonly RedirectPort[], backend: readonly RedirectPort[], errors: RedirectError[]): void {
  for (const port of frontend) {
    if (backendPortFor({ backendPorts: backend }, port) !== undefined) continue;
    const name = port.name === '' ? '' : ` with the name ${port.name}`;
    errors.push({ path: 'spec.redirectBackend.toPorts', message: `no ${port.protocol} port${backend.length === 1 ? '' : name} for the frontend's port ${port.port}`, mend: 'give the backend a port of the same protocol and name' });
  }
}
