import { CirriError } from '../std/errors.ts';

/** Cilium's command → ours. The first words that fit, the longest before the shorter ones. */
const ours: readonly (readonly [cilium: string, cirri: string])[] = [
  ['monitor', 'monitor'],
  ['status', 'status'],
  ['service', 'service'],
  ['endpoint', 'endpoint'],
  ['policy get', 'policy get'],
  ['policy trace', 'policy evaluate'],
  ['policy', 'policy'],
  ['identity', 'identity'],
  ['ip list', 'bpf ipcache list'],
  ['node list', 'get nodes'],
  ['bpf', 'bpf'],
  ['lrp', 'lrp'],
  ['fqdn cache list', 'fqdn cache'],
  ['fqdn names', 'fqdn names'],
  ['config', 'config'],
  ['version', 'version'],
  ['hubble port-forward', 'hubble port-forward'],
  ['hubble ui', 'ui'],
  ['hubble port-forward', 'hubble port-forward'],
  ['observe', 'hubble observe'],
];

/** What there is none of, and what to use: one sentence each. */
const instead: readonly (readonly [cilium: string, sentence: string, mend: string])[] = [
  ['hubble enable', 'flows are on unless hubble.enabled=false', 'cirri config set hubble.enabled=true turns them on again'],
  ['hubble disable', 'flows are turned off by a setting', 'cirri config set hubble.enabled=false'],
  ['connectivity', 'there is no connectivity test of this name', 'cirri conformance --datapath tries published policies between real pods, cirri probe one connection'],
  ['install', 'cirri installs itself', 'sudo ./cirri up starts a cluster on this machine'],
  ['upgrade', 'cirri installs itself', 'sudo ./cirri up repairs and renews the cluster that is there'],
  ['uninstall', 'cirri removes itself', 'sudo ./cirri down'],
  ['sysdump', 'there is no sysdump', 'cirri status -v, and the logs below the state folder that cirri up names'],
  ['clustermesh', 'there is no mesh of clusters yet', 'cirri status says what there is'],
  ['encryption', 'there is no encryption between nodes yet', 'cirri status -v says what there is'],
  ['encrypt', 'there is no encryption between nodes yet', 'cirri status -v says what there is'],
  ['bgp', 'there is no BGP yet', 'cirri get services shows the load balancers’ addresses, which the host routes'],
  ['features', 'there is no list of features of this form', 'cirri status -v says which features are on'],
  ['map', 'maps are shown by what they hold', 'cirri bpf --help; cirri status -v shows how full they are'],
  ['statedb', 'tables are shown by what they hold', 'cirri endpoint list, cirri service list, cirri identity list'],
  ['fqdn cache clean', 'what pods were told is not forgotten before its time: their connections would break', 'cirri fqdn cache shows it'],
  ['fqdn', 'of fqdn there are cache list and names', 'cirri fqdn --help'],
  ['metrics', 'metrics are read over HTTP', 'curl http://NODE:9962/metrics, and :9965 for flows'],
  ['envoy', 'the proxy of each node is no Envoy', 'cirri proxy status says what it does'],
  ['kvstore', 'there is no key-value store: the Kubernetes API is it', 'cirri get ciliumidentities'],
  ['node', 'nodes are listed only', 'cirri get nodes'],
  ['ip', 'addresses are listed only', 'cirri bpf ipcache list'],
  ['hubble', 'of hubble there are port-forward and ui here', 'cirri hubble observe, or ./hubble observe'],
];

/** Commands of ours that ask one node when it is named. */
const ofNode: readonly string[] = ['monitor', 'service', 'lrp', 'bpf'];

/** Flags of upstream's that ours say without being asked, or have another name for. */
const flagNames: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  status: {
    '--brief': undefined, '--all-addresses': '-v', '--all-controllers': '-v', '--all-health': '-v', '--all-nodes': undefined, '--all-redirects': '-v', '--all-clusters': undefined, '--all-maps': '-v',
  },
  service: { '--clustermesh-affinity': undefined },
};

/** The words of `cirri` that do what `cilium` would. Throws CirriError with what to use where there is no such thing. */
export function ciliumCommand(words: readonly string[], node?: string): string[] {
  const begins = (name: string) => name.split(' ').every((word, i) => words[i] === word);
  const found = ours.find(([name]) => begins(name));
  if (!found) {
    const other = instead.find(([name]) => begins(name));
    if (other) throw new CirriError('ERR_COMMAND', `cilium ${words.slice(0, other[0].split(' ').length).join(' ')}: ${other[1]}`, { mend: other[2] });
    throw new CirriError('ERR_COMMAND', `cilium ${words[0]} is not known here`, { mend: 'cirri --help lists the commands; cirri cilium --help the names of cilium that are taken' });
  }
  const [name, own] = found;
  const command = own.split(' ');
  const renames = flagNames[command[0]!] ?? {};
  const rest = words.slice(name.split(' ').length).flatMap(word => (word in renames ? renames[word] ?? [] : [word]));
  const named = node !== undefined && ofNode.includes(command[0]!) && !rest.some(word => word === '--node' || word.startsWith('--node=')) && rest.every(word => word !== '--help' && word !== '-h');
  return [...command, ...rest, ...(named ? ['--node', node] : [])];
}
