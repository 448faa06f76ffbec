/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Services: address → slots → backend, and the way back. */
#pragma once

#include "config.h"
#include "packet.h"

/*
 * A service whose traffic policies differ has two rows: SCOPE_EXTERNAL is what clients outside of the cluster get, SCOPE_INTERNAL what pods
 * and nodes get. Look-ups ask for SCOPE_EXTERNAL first; the row's flag SERVICE_TWO_SCOPES sends clients inside on to the other.
 */
enum service_scope {
	SCOPE_EXTERNAL = 0,
	SCOPE_INTERNAL = 1,
	SCOPE_ORIGINAL = 2,	/* what a local redirect stands in for, for those in `redirect_exempt`; no row: the address itself */
};

struct service_key {
	struct addr addr;
	__be16 port;
	__u8 protocol;
	__u8 scope;		/* enum service_scope */
};
_Static_assert(sizeof(struct service_key) == 20, "service_key");

enum service_type {
	SERVICE_CLUSTER_IP = 0,
	SERVICE_NODE_PORT = 1,
	SERVICE_EXTERNAL_IP = 2,
	SERVICE_LOAD_BALANCER = 3,
	SERVICE_HOST_PORT = 4,
	SERVICE_LOCAL_REDIRECT = 5,
};

enum service_flag {
	SERVICE_ROUTABLE = 1,		/* clients outside of the cluster may use it; without, the network sees no service here */
	SERVICE_TWO_SCOPES = 2,		/* clients inside have a row of their own */
	SERVICE_SOURCE_RANGES = 4,	/* `service_sources` says who may, asked of clients outside */
	SERVICE_SOURCE_DENY = 8,	/* ... or, with this one too, who may not */
	SERVICE_SILENT = 16,		/* without a backend: drop and say nothing; only this node has none (traffic policy Local) */
	SERVICE_DSR = 32,		/* backends elsewhere answer the client themselves */
	SERVICE_NAT46X64 = 64,		/* backends may be of the other family */
	SERVICE_HOST_ONLY = 128,	/* for sockets of the node's own namespace: node ports at loopback addresses */
	SERVICE_REDIRECT_EXEMPT = 256,	/* `redirect_exempt` is to be asked: backends of a local redirect may want the original */
};

struct service {
	__u32 id;		/* never 0: key of service_slots and service_addresses */
	__u32 count;		/* slots 0..count-1; 0 = no backend */
	__u32 affinity_timeout;	/* seconds; 0 = none */
	__u32 maglev;		/* entries of its table in `maglev`; 0 = a random slot */
	__u16 flags;		/* enum service_flag */
	__u8 type;		/* enum service_type */
	__u8 pad;
};
_Static_assert(sizeof(struct service) == 20, "service");

/* The agent writes; sockets and the first packets of connections read. Twice Cilium's default, for two families in one map. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct service_slot_key {
	__u32 service;
	__u32 slot;
};
_Static_assert(sizeof(struct service_slot_key) == 8, "service_slot_key");

struct service_slot {
	__u32 backend;
};
_Static_assert(sizeof(struct service_slot) == 4, "service_slot");

/* The agent writes, service steps read; eight backends for each service. No prealloc: most clusters have far fewer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct service_slot_key);
	__type(value, struct service_slot);
} service_slots SEC(".maps");

struct service_id {
	__u32 id;
};
_Static_assert(sizeof(struct service_id) == 4, "service_id");

struct service_source_key {
	__u32 prefix_bits;	/* 32 + the prefix's; IPv4 as everywhere 96 + n */
	__u32 service;
	struct addr addr;
};
_Static_assert(sizeof(struct service_source_key) == 24, "service_source_key");

/* For which form of ranges an entry was written. */
enum service_source_form {
	SOURCE_ALLOW = 1,
	SOURCE_DENY = 2,
};

/*
 * The agent writes, service steps read for clients outside. Value: enum service_source_form. While a service changes its form, entries of
 * both are there for a moment; one of the other form counts for nothing, so nobody gets in by a prefix that is meant to keep him out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct service_source_key);
	__type(value, __u32);
} service_sources SEC(".maps");

enum redirect_exempt_kind {
	EXEMPT_ENDPOINT = 0,
	EXEMPT_NETNS = 1,
};

/* A backend of a local redirect that shall reach what it stands in for: by its namespace at the socket, by its endpoint packet by packet. */
struct redirect_exempt_key {
	__u64 who;		/* cookie of a network namespace, or the id of an endpoint */
	__u32 service;
	__u32 kind;		/* enum redirect_exempt_kind */
};
_Static_assert(sizeof(struct redirect_exempt_key) == 16, "redirect_exempt_key");

/* The agent writes, service steps read; a few pods a node. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct redirect_exempt_key);
	__type(value, __u32);
} redirect_exempt SEC(".maps");

enum backend_state {
	BACKEND_ACTIVE = 0,
	BACKEND_TERMINATING = 1,
	BACKEND_QUARANTINED = 2,
	BACKEND_MAINTENANCE = 3,
};

struct backend_key {
	__u32 id;
};
_Static_assert(sizeof(struct backend_key) == 4, "backend_key");

struct backend {
	struct addr addr;
	__be16 port;
	__u8 protocol;
	__u8 state;
};
_Static_assert(sizeof(struct backend) == 20, "backend");

/* The agent writes, service steps read; one entry per address, port and protocol of every pod that serves. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct backend_key);
	__type(value, struct backend);
} backends SEC(".maps");

struct service_address {
	struct addr addr;
	__be16 port;
	__u16 pad;
};
_Static_assert(sizeof(struct service_address) == 20, "service_address");

/* The agent writes, replies of translated connections read; one for each row of `services`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, struct service_id);
	__type(value, struct service_address);
} service_addresses SEC(".maps");

enum socket_service_kind {
	SOCKET_PEER = 0,	/* addr and port are a backend's: the value is what the socket believes it talks to */
	SOCKET_CHOICE = 1,	/* addr and port are a service's, of an unconnected socket: the value is the backend that its datagrams go to */
};

struct socket_service_key {
	__u64 cookie;
	struct addr addr;
	__be16 port;
	__u8 protocol;
	__u8 kind;		/* enum socket_service_kind */
	__u32 pad;
};
_Static_assert(sizeof(struct socket_service_key) == 32, "socket_service_key");

struct socket_service {
	struct addr addr;
	__be16 port;
	__u16 pad;
	__u32 service;
	__u32 backend;
	__u32 used_seconds;	/* CLOCK_MONOTONIC, coarse; of a choice */
};
_Static_assert(sizeof(struct socket_service) == 32, "socket_service");

/*
 * connect and sendmsg write; recvmsg, getpeername and the ending of sockets whose backend went away read. LRU: sockets end without a
 * word.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct socket_service_key);
	__type(value, struct socket_service);
} socket_services SEC(".maps");

static __always_inline const struct service *service_find(const struct addr *addr, __be16 port, __u8 protocol)
{
	struct service_key key = { .addr = *addr, .port = port, .protocol = protocol, .scope = SCOPE_EXTERNAL };

	return bpf_map_lookup_elem(&services, &key);
}

static __noinline const struct service *service_find_scope(const struct addr *addr, __be16 port, __u8 protocol, __u8 scope)
{
	struct service_key key = { .addr = *addr, .port = port, .protocol = protocol, .scope = scope };

	return bpf_map_lookup_elem(&services, &key);
}

/*
 * What a client inside of the cluster gets: pods, nodes, their sockets. The second row is written before the flag that leads there, and
 * goes after it; whoever comes in between makes do with the first.
 */
static __always_inline const struct service *service_find_inside(const struct addr *addr, __be16 port, __u8 protocol)
{
	const struct service *service = service_find(addr, port, protocol), *internal;

	if (!service || likely(!(service->flags & SERVICE_TWO_SCOPES)))
		return service;
	internal = service_find_scope(addr, port, protocol, SCOPE_INTERNAL);
	return internal ? internal : service;
}

/* The service that a packet is for, or NULL. Loopback addresses serve sockets only; who is outside sees only what is meant for outside. */
static __always_inline const struct service *service_find_for(const struct addr *addr, __be16 port, __u8 protocol, const bool inside)
{
	const struct service *service = inside ? service_find_inside(addr, port, protocol) : service_find(addr, port, protocol);

	if (!service || service->flags & SERVICE_HOST_ONLY)
		return NULL;
	return inside || service->flags & SERVICE_ROUTABLE ? service : NULL;
}

/* Source ranges, of clients outside. The deny form turns the list round. */
static __always_inline bool service_source_allowed(const struct service *service, const struct addr *client)
{
	struct service_source_key key = { .prefix_bits = 160, .service = service->id, .addr = *client };
	const __u32 *form;

	if (likely(!(service->flags & SERVICE_SOURCE_RANGES)))
		return true;
	form = bpf_map_lookup_elem(&service_sources, &key);
	if (service->flags & SERVICE_SOURCE_DENY)
		return !form || *form != SOURCE_DENY;
	return form && *form == SOURCE_ALLOW;
}

/* What this client gets instead of the local redirect that it is a backend of; `service` for everybody else, NULL for "leave it alone". */
static __noinline const struct service *service_original(const struct service *service, const struct service_key *at, __u64 who, __u32 kind)
{
	struct redirect_exempt_key key = { .who = who, .service = service->id, .kind = kind };

	if (!bpf_map_lookup_elem(&redirect_exempt, &key))
		return service;
	return service_find_scope(&at->addr, at->port, at->protocol, SCOPE_ORIGINAL);
}

static __always_inline const struct backend *backend_find(__u32 id)
{
	struct backend_key key = { .id = id };

	return id ? bpf_map_lookup_elem(&backends, &key) : NULL;
}

static __always_inline const struct service_address *service_address_find(__u32 service)
{
	struct service_id key = { .id = service };

	return bpf_map_lookup_elem(&service_addresses, &key);
}
