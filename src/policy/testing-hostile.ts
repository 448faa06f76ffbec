/**
 * Policies as large and as tangled as somebody could make them, parsed and compiled. Run as a worker by parse-fuzz.test.ts:
 * there a case that grows without bound meets the worker's heap limit, and one that does not end is ended.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { cidrLabeller, firstPrefixIdentity } from '../model/identity.ts';
import { PolicyEngine } from './compile.ts';
import { parsePolicy } from './parse.ts';
import { pod, subject } from './testing.ts';

export interface HostileResult {
  readonly bytes: number;
  readonly errors: number;
  /** Longest text of an error. */
  readonly longest: number;
  readonly rows: number;
  /** What the compiler said when it refused. */
  readonly refused?: string;
}

const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const policy = (spec: object): object => ({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { endpointSelector: {}, ...spec } });
const ports = (...list: object[]) => ({ toPorts: [{ ports: list }] });
const http = (path: string) => policy({ ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path }] } }] }] });
const nested = (depth: number): unknown => many(depth, i => i).reduce<unknown>(inner => ({ a: [inner] }), 1);
/** 20,000 ranges for any peer. */
const ranges = many(500, i => ({ ports: many(40, j => ({ port: String(1 + (i * 40 + j) * 3), endPort: 2 + (i * 40 + j) * 3, protocol: 'ANY' })) }));

export const hostileCases: Readonly<Record<string, () => object>> = {
  '1 MB of unknown fields': () => policy({ ingress: many(50_000, i => ({ fromEndpoint: [], a: i })) }),
  '10,000 rules with a selector and a port each': () => policy({ ingress: many(10_000, i => ({ fromEndpoints: [{ matchLabels: { app: `a${i}` } }], ...ports({ port: String(1 + i), protocol: 'TCP' }) })) }),
  '10,000 rules for one peer': () => policy({ ingress: many(10_000, i => ({ fromEndpoints: [{}], ...ports({ port: String(1 + i * 6), protocol: 'TCP' }) })) }),
  '10,000 ranges within each other': () => policy({ ingress: many(10_000, i => ({ fromEndpoints: [{}], ...ports({ port: String(1 + i), endPort: 65535 - i, protocol: 'TCP' }) })) }),
  '10,000 ranges within each other, each with a rule on requests': () => policy({ ingress: many(250, k => ({ fromEndpoints: [{}], toPorts: many(40, j => ({ ports: [{ port: String(1 + k * 40 + j), endPort: 65535 - k * 40 - j, protocol: 'TCP' }], rules: { http: [{ path: `/${k}/${j}` }] } })) })) }),
  '5,000 rules of one parser and 5,000 of another': () => policy({ ingress: [{ fromEndpoints: [{}], toPorts: many(10_000, i => ({ ports: [{ port: String(1 + i), protocol: 'TCP' }], rules: i % 2 ? { http: [{}] } : { kafka: [{}] } })) }] }),
  '20,000 ranges': () => policy({ ingress: [{ fromEndpoints: [{}], toPorts: ranges }] }),
  '20,000 ranges for anybody, and a thousand peers that are told apart': () => policy({ ingress: [{ toPorts: ranges }, ...many(1000, i => ({ fromEndpoints: [{ matchLabels: { app: `a${i}` } }], ...ports({ port: String(60_001 + i), protocol: 'TCP' }) }))] }),
  'selectors of 5,000 expressions': () => policy({ ingress: [{ fromEndpoints: many(10, k => ({ matchExpressions: many(5_000, i => ({ key: `k${k}-${i}`, operator: 'NotIn', values: ['a', 'b'] })) })) }] }),
  'a value list of 100,000': () => policy({ ingress: [{ fromEndpoints: [{ matchExpressions: [{ key: 'app', operator: 'In', values: many(100_000, i => `v${i}`) }] }] }] }),
  '30,000 prefixes': () => policy({ egress: [{ toCIDR: many(30_000, i => `10.${i >> 8}.${i & 255}.0/24`) }] }),
  '30,000 exceptions': () => policy({ egress: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: many(30_000, i => `10.${i >> 8}.${i & 255}.0/24`) }] }] }),
  'a key of half a megabyte': () => policy({ ingress: [{ fromEndpoints: [{ matchLabels: { ['a'.repeat(500_000)]: 'b'.repeat(500_000), [`${'a-'.repeat(200_000)}/x`]: '' } }] }] }),
  'an expression of parentheses': () => http('('.repeat(100_000) + ')'.repeat(100_000)),
  'an expression of nested counts': () => http('(((a{1000}){1000}){1000}){1000}'),
  'an unfinished expression': () => http('(?i[:a'.repeat(50_000)),
  'an expression that would try all ways': () => http('(a+)+(a|a)*$'),
  'a thousand name patterns of stars': () => policy({ egress: [{ toFQDNs: many(1000, () => ({ matchPattern: '*a'.repeat(127) })) }] }),
  'a tower of 5,000 levels': () => policy({ ingress: [{ fromEndpoints: [{ matchLabels: nested(5_000) }], toPorts: nested(5_000) }], egress: nested(5_000) }),
  'numbers beyond all bounds': () => policy({ ingress: [ports({ port: '9'.repeat(100_000), protocol: 'TCP' }, { port: '1', endPort: 1e308, protocol: 'TCP' }, { port: '1', endPort: Number.MAX_SAFE_INTEGER, protocol: 'TCP' })] }),
  '20,000 services': () => policy({ egress: [{ toServices: many(20_000, i => ({ k8sService: { serviceName: `s${i}` } })) }] }),
};

function run(name: string): HostileResult {
  const object = hostileCases[name]!();
  const { policy: parsed, errors = [] } = parsePolicy(object, { clusterName: 'local' });
  const said = { bytes: JSON.stringify(object).length, errors: errors.length, longest: Math.max(0, ...errors.flatMap(e => [e.path.length, e.message.length, e.mend.length])) };
  if (!parsed) return { ...said, rows: 0 };
  const engine = new PolicyEngine();
  engine.setPolicies([parsed]);
  for (let i = 0; i < 1000; i++) engine.upsertIdentity(300 + i, pod('x', { app: `a${i}` }));
  const prefixes = engine.cidrPrefixes();
  const labelsOf = cidrLabeller(prefixes);
  prefixes.forEach((prefix, i) => engine.upsertIdentity(firstPrefixIdentity + i, labelsOf(prefix)));
  try {
    const rows = (['ingress', 'egress'] as const).map(direction => engine.compile(subject(pod('x')), direction).verdicts.length);
    return { ...said, rows: rows[0]! + rows[1]! };
  } catch (error) {
    return { ...said, rows: 0, refused: (error as Error).message };
  }
}

if (parentPort && typeof workerData === 'string') parentPort.postMessage(run(workerData));
