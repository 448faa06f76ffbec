/** /etc/hosts and /etc/resolv.conf of a pod. Pure. */
import type { Pod } from './types.ts';

export interface ClusterDns {
  readonly servers: readonly string[];
  readonly domain: string;
}

/** The pod's host name: spec.hostname, or the pod's name cut to what a kernel host name holds (63). */
export function hostnameOf(pod: Pod): string {
  return (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[-.]+$/, '');
}

export function hostsFile(pod: Pod, podIPs: readonly string[], domain: string): string {
  const host = hostnameOf(pod);
  const names = pod.spec.subdomain ? `${host}.${pod.spec.subdomain}.${pod.metadata.namespace}.svc.${domain}\t${host}` : host;
  const lines = [
    '# Written by the kubelet.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    ...podIPs.map(ip => `${ip}\t${names}`),
    ...(pod.spec.hostAliases ?? []).map(a => `${a.ip}\t${(a.hostnames ?? []).join('\t')}`),
  ];
  return lines.join('\n') + '\n';
}

/**
 * By dnsPolicy: ClusterFirst (the default; on the host's network it means Default), ClusterFirstWithHostNet, Default (the
 * node's own file) and None (dnsConfig alone). dnsConfig is merged in as Kubernetes does: servers and searches appended,
 * options overridden by name.
 */
export function resolvConf(pod: Pod, cluster: ClusterDns, nodeResolvConf: string): string {
  const base = baseResolver(pod, cluster, parseResolvConf(nodeResolvConf));
  const config = pod.spec.dnsConfig ?? {};
  const servers = unique([...base.servers, ...(config.nameservers ?? [])]).slice(0, 3);
  const searches = unique([...base.searches, ...(config.searches ?? [])]).slice(0, 32);
  const options = new Map(base.options.map(o => [o.split(':')[0]!, o]));
  for (const o of config.options ?? []) options.set(o.name, o.value === undefined ? o.name : `${o.name}:${o.value}`);
  return [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map(s => `nameserver ${s}`),
    ...(options.size > 0 ? [`options ${[...options.values()].join(' ')}`] : []),
  ].join('\n') + '\n';
}

export interface Resolver {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** resolv.conf(5); `domain` counts as a search list of one, the last of both wins. */
export function parseResolvConf(text: string): Resolver {
  const servers: string[] = [];
  let searches: string[] = [];
  const options: string[] = [];
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.replace(/[#;].*$/, '').trim().split(/\s+/);
    if (word === 'nameserver' && rest[0]) servers.push(rest[0]);
    else if (word === 'search' || word === 'domain') searches = rest;
    else if (word === 'options') options.push(...rest);
  }
  return { servers, searches, options };
}

function baseResolver(pod: Pod, cluster: ClusterDns, node: Resolver): Resolver {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  if (policy === 'Default' || (policy === 'ClusterFirst' && pod.spec.hostNetwork)) return node;
  const { domain } = cluster;
  return {
    servers: cluster.servers,
    searches: [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain, ...node.searches],
    options: ['ndots:5'],
  };
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)];
}
