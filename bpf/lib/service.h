/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Services: address → slots → backend, and the way back. */
#pragma once

#include "addr.h"

struct service_key {
	struct addr addr;
	__be16 port;
	__u8 protocol;
	__u8 scope;		/* 0 everywhere */
};
_Static_assert(sizeof(struct service_key) == 20, "service_key");

struct service {
	__u32 id;		/* never 0: key of service_slots and service_addresses */
	__u32 count;		/* slots 0..count-1; 0 = no backend */
	__u32 affinity_timeout;
	__u32 flags;
};
_Static_assert(sizeof(struct service) == 16, "service");

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

struct service_id {
	__u32 id;
};
_Static_assert(sizeof(struct service_id) == 4, "service_id");

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

struct socket_service_key {
	__u64 cookie;
	struct addr backend;
	__be16 port;
	__u16 pad[3];
};
_Static_assert(sizeof(struct socket_service_key) == 32, "socket_service_key");

struct socket_service {
	struct addr addr;
	__be16 port;
	__u16 pad;
	__u32 service;
};
_Static_assert(sizeof(struct socket_service) == 24, "socket_service");

/* connect and sendmsg write, recvmsg and getpeername read: what a socket believes it talks to. LRU: sockets end without a word. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct socket_service_key);
	__type(value, struct socket_service);
} socket_services SEC(".maps");

static __always_inline const struct service *service_find(const struct addr *addr, __be16 port, __u8 protocol)
{
	struct service_key key = { .addr = *addr, .port = port, .protocol = protocol };

	return bpf_map_lookup_elem(&services, &key);
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

/* A random slot: O(1), and no state to share. Returns the backend's id; 0 when there is none, or the slot is just being rewritten. */
static __always_inline __u32 service_pick(const struct service *service)
{
	struct service_slot_key key = { .service = service->id };
	const struct service_slot *slot;

	if (!service->count)
		return 0;
	key.slot = bpf_get_prandom_u32() % service->count;
	slot = bpf_map_lookup_elem(&service_slots, &key);
	return slot ? slot->backend : 0;
}
