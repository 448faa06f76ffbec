/**
 * Images without a registry. Two are built in; a container with a command runs it on the node's own root; a few well-known
 * servers of demos are stood in for by the echo server. Everything else is an image that cannot be had, and says so.
 */
import type { Container } from './types.ts';

/** Where the built-in program is seen inside a container. */
export const echoInContainer = '/.cirri/echo';

export interface ResolvedImage {
  readonly argv: readonly string[];
  /** Mount the built-in program. */
  readonly builtIn: boolean;
  /** `dns` needs the project's sources and Node in its root. */
  readonly needs: 'nothing' | 'sources';
  /** What the Pulled event says. */
  readonly said: string;
}

export interface MissingImage {
  readonly missing: string;
}

/** Demo servers by repository name (without registry and tag), with the port they listen on when the pod does not say. */
const standIns: ReadonlyMap<string, number> = new Map([
  ['nginx', 80], ['nginxinc/nginx-unprivileged', 8080], ['nginxdemos/hello', 80], ['nginxdemos/nginx-hello', 8080], ['httpd', 80], ['caddy', 80],
  ['traefik/whoami', 80], ['containous/whoami', 80], ['hashicorp/http-echo', 5678], ['ealen/echo-server', 80], ['jmalloc/echo-server', 8080],
  ['mendhak/http-https-echo', 8080], ['kennethreitz/httpbin', 80], ['mccutchen/go-httpbin', 8080], ['echoserver', 8080], ['google_containers/echoserver', 8080],
  ['google-samples/hello-app', 8080], ['gateway-api/conformance/echo-basic', 3000], ['cilium/json-mock', 8080], ['cilium/starwars', 80],
  ['cilium/echoserver', 8080], ['cilium/echoserver-udp', 69], ['paulbouwer/hello-kubernetes', 8080], ['e2e-test-images/agnhost', 8080], ['agnhost', 8080],
  ['e2e-test-images/echoserver', 8080], ['wbitt/network-multitool', 80], ['praqma/network-multitool', 80], ['e2e-test-images/nginx', 80],
]);

/** Images without an entry point of their own: their arguments are the command (`kubectl run x --image=busybox -- sleep 60`). */
const bareImages: ReadonlySet<string> = new Set([
  'busybox', 'alpine', 'ubuntu', 'debian', 'fedora', 'centos', 'rockylinux', 'almalinux', 'amazonlinux', 'bash', 'python', 'node', 'perl', 'buildpack-deps', 'nicolaka/netshoot',
  'wbitt/network-multitool', 'praqma/network-multitool', 'e2e-test-images/busybox', 'cirros', 'radial/busyboxplus',
]);

/** Images whose entry point is curl, unless the first argument is a program. */
const curlImages: ReadonlySet<string> = new Set(['curlimages/curl', 'alpine/curl', 'appropriate/curl', 'cilium/alpine-curl', 'badouralix/curl-jq']);
const programs = /^(\/|sh$|bash$|ash$|sleep$|curl$|tail$|cat$|env$|wget$)/;

/** Images that only wait. */
const waitingImages: ReadonlySet<string> = new Set(['pause', 'google_containers/pause', 'cilium/demo-client', 'rancher/pause']);

/** Registry, tag and digest cut off: `docker.io/library/nginx:1.27@sha256:…` → `nginx`. */
export function repositoryOf(image: string): string {
  const untagged = image.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  const parts = untagged.split('/');
  if (parts.length > 1 && /[.:]|^localhost$/.test(parts[0]!)) parts.shift();
  if (parts[0] === 'library' && parts.length > 1) parts.shift();
  return parts.join('/');
}

export function resolveImage(container: Container, sources: { readonly node: string; readonly dnsMain: string }): ResolvedImage | MissingImage {
  const image = container.image ?? '';
  const repository = repositoryOf(image);
  const command = container.command ?? [];
  const args = container.args ?? [];
  const builtIn = (argv: readonly string[], said: string): ResolvedImage => ({ argv, builtIn: true, needs: 'nothing', said });

  if (repository === 'cirri/dns') {
    const argv = command.length > 0 ? [...command, ...args] : [sources.node, sources.dnsMain, ...args];
    return { argv, builtIn: false, needs: 'sources', said: `Container image "${image}" is built in` };
  }
  if (command.length > 0) {
    const said = repository.startsWith('cirri/')
      ? `Container image "${image}" is built in`
      : `image "${image}" is not pulled: running ${command[0]} on the node's own root`;
    return { argv: [...command, ...args], builtIn: repository.startsWith('cirri/'), needs: 'nothing', said };
  }
  if (repository === 'cirri/client' || repository === 'cirri/agent') return builtIn(args.length > 0 ? args : [echoInContainer, 'sleep'], `Container image "${image}" is built in`);
  if (repository === 'cirri/echo') return builtIn([echoInContainer, ...echoArgs(container, undefined)], `Container image "${image}" is built in`);
  if (args.length > 0 && (bareImages.has(repository) || curlImages.has(repository))) {
    const argv = curlImages.has(repository) && !programs.test(args[0]!) ? ['curl', ...args] : args;
    return { argv, builtIn: false, needs: 'nothing', said: `image "${image}" is not pulled: running ${argv[0]} on the node's own root` };
  }
  if (waitingImages.has(repository)) return builtIn([echoInContainer, 'sleep'], `image "${image}" is not pulled: a built-in program that waits stands in for it`);
  const port = standIns.get(repository);
  if (port !== undefined) {
    const argv = [echoInContainer, ...echoArgs(container, port)];
    return builtIn(argv, `image "${image}" is not pulled: the built-in echo server stands in for it (${argv.slice(1).join(' ')})`);
  }
  return {
    missing: `image "${image}" cannot be pulled: this node has no registry. Give the container a command (it then runs on the node's own root), `
      + `or use image cirri/echo (a server) or cirri/client (a shell to work from)`,
  };
}

/** Flags of the echo server: the container's own, else agnhost's, else one listener per declared port, else the default port. */
function echoArgs(container: Container, defaultPort: number | undefined): string[] {
  const args = container.args ?? [];
  if (defaultPort === undefined && args.length > 0) return [...args];
  const named = agnhostPorts(args);
  if (named.length > 0) return named;
  const ports = container.ports ?? [];
  if (ports.length > 0) return ports.filter(p => p.protocol !== 'SCTP').flatMap(p => [p.protocol === 'UDP' ? '--udp' : '--tcp', String(p.containerPort)]);
  return defaultPort === undefined ? [] : ['--tcp', String(defaultPort)];
}

/** `netexec --http-port=8080 --udp-port=8081`, `serve-hostname --port=80`: what Kubernetes' own tests run. */
function agnhostPorts(args: readonly string[]): string[] {
  const out: string[] = [];
  for (const arg of args) {
    const match = /^--(http-port|udp-port|port|tls-port)=(\d+)$/.exec(arg);
    if (match) out.push(match[1] === 'udp-port' ? '--udp' : '--tcp', match[2]!);
  }
  return out;
}
