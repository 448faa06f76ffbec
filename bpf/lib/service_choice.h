/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which backend a new flow gets: a random slot, its place in a Maglev table, or the one that its client had. */
#pragma once

#include "service.h"

/* The table of one service: entry → backend. All have the size that config says when they are made; `service.maglev` is what counts. */
struct maglev_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};

/*
 * The agent writes, a whole table at once by replacing it; service steps read. No prealloc: a table is 128 KB (entries of arrays are 8 bytes
 * apart), and only those who ask have one. Filled through mmap, as 16,381 entries by system calls take 4 ms.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct service_id);
	__array(values, struct maglev_table);
} maglev SEC(".maps");

/* Who of a service a client may stick to; only for services with affinity. */
struct service_member_key {
	__u32 service;
	__u32 backend;
};
_Static_assert(sizeof(struct service_member_key) == 8, "service_member_key");

/* The agent writes, service steps read; as many as a fourth of all slots. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct service_member_key);
	__type(value, __u32);
} service_members SEC(".maps");

enum affinity_client {
	AFFINITY_ADDRESS = 0,	/* north-south and packet by packet: the client's address */
	AFFINITY_NETNS = 1,	/* at the socket: the cookie of its network namespace, in the address's first eight bytes */
};

struct affinity_key {
	struct addr client;
	__u32 service;
	__u32 kind;		/* enum affinity_client */
};
_Static_assert(sizeof(struct affinity_key) == 24, "affinity_key");

struct affinity {
	__u64 last_used_ns;	/* CLOCK_MONOTONIC, coarse */
	__u32 backend;
	__u32 pad;
};
_Static_assert(sizeof(struct affinity) == 16, "affinity");

/* Service steps write and read; Cilium's default size. LRU: who has not come for long finds a new backend. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinities SEC(".maps");

static __always_inline __u32 rotate_left(__u32 value, __u32 bits)
{
	return value << bits | value >> (32 - bits);
}

struct hash_state {
	__u32 a, b, c;
};

/* Bob Jenkins's lookup3 (public domain, 2006). */
static __always_inline void hash_mix(struct hash_state *s)
{
	s->a -= s->c; s->a ^= rotate_left(s->c, 4); s->c += s->b;
	s->b -= s->a; s->b ^= rotate_left(s->a, 6); s->a += s->c;
	s->c -= s->b; s->c ^= rotate_left(s->b, 8); s->b += s->a;
	s->a -= s->c; s->a ^= rotate_left(s->c, 16); s->c += s->b;
	s->b -= s->a; s->b ^= rotate_left(s->a, 19); s->a += s->c;
	s->c -= s->b; s->c ^= rotate_left(s->b, 4); s->b += s->a;
}

static __always_inline void hash_final(struct hash_state *s)
{
	s->c ^= s->b; s->c -= rotate_left(s->b, 14);
	s->a ^= s->c; s->a -= rotate_left(s->c, 11);
	s->b ^= s->a; s->b -= rotate_left(s->a, 25);
	s->c ^= s->b; s->c -= rotate_left(s->b, 16);
	s->a ^= s->c; s->a -= rotate_left(s->c, 4);
	s->b ^= s->a; s->b -= rotate_left(s->a, 14);
	s->c ^= s->b; s->c -= rotate_left(s->b, 24);
}

static __always_inline void hash_upper_words(struct hash_state *s, const struct addr *addr)
{
	s->a += bpf_ntohl(addr->words[0]);
	s->b += bpf_ntohl(addr->words[1]);
	s->c += bpf_ntohl(addr->words[2]);
	hash_mix(s);
}

/*
 * Where a flow stands in a Maglev table: the same on all nodes, whatever their byte order (src/lb/flow-hash.ts is the same function).
 * Hashed are protocol, both addresses and both ports as the client wrote them, from config.maglev_seed on; with affinity the client's
 * address alone, so that all nodes send a client to the same backend. IPv4 skips the words that are the same in all its addresses.
 */
static __always_inline __u32 service_hash(const struct service *service, const struct headers *packet)
{
	struct hash_state s;
	bool v6 = packet_is_v6(packet);

	s.a = s.b = s.c = 0xdeadbeef + config.maglev_seed;
	if (v6)
		hash_upper_words(&s, &packet->source);
	s.a += bpf_ntohl(packet->source.words[3]);
	if (!service->affinity_timeout) {
		if (v6) {
			hash_mix(&s);
			hash_upper_words(&s, &packet->destination);
		}
		s.b += bpf_ntohl(packet->destination.words[3]);
		s.c += (__u32)bpf_ntohs(packet->source_port) << 16 | bpf_ntohs(packet->destination_port);
		hash_mix(&s);
		s.a += packet->protocol;
	}
	hash_final(&s);
	return s.c;
}

/* A random slot: O(1), and no state to share. Returns the backend's id; 0 when there is none. */
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

/* By the service's table; a random slot while there is none, or one of another size. */
static __noinline __u32 service_pick_maglev(const struct service *service, const struct headers *packet)
{
	struct service_id id = { .id = service->id };
	__u32 size = service->maglev, at;
	const __u32 *backend;
	void *table;

	table = bpf_map_lookup_elem(&maglev, &id);
	if (table && size) {
		at = service_hash(service, packet) % size;
		backend = bpf_map_lookup_elem(table, &at);
		if (backend && *backend)
			return *backend;
	}
	return service_pick(service);
}

/* `packet`: NULL at the socket. Packets' flows are hashed; a socket has no port of its own yet, and its flow needs no second node to agree. */
static __always_inline __u32 service_pick_for(const struct service *service, const struct headers *packet)
{
	return unlikely(packet && service->maglev && service->count) ? service_pick_maglev(service, packet) : service_pick(service);
}

static __always_inline bool backend_is_active(__u32 id)
{
	const struct backend *backend = backend_find(id);

	return backend && backend->state == BACKEND_ACTIVE;
}

/* May this client go on with the backend that it had? */
static __always_inline bool affinity_holds(const struct service *service, const struct affinity *affinity, __u64 now)
{
	struct service_member_key member = { .service = service->id, .backend = affinity->backend };

	/* Another processor may have used it by a later tick of the clock. */
	return affinity->last_used_ns + (__u64)service->affinity_timeout * NANOSECONDS >= now &&
	       bpf_map_lookup_elem(&service_members, &member);
}

/*
 * Session affinity: the backend that this client had last, while it serves and the client comes often enough; else a new one. A backend
 * on its way out keeps its clients only when whoever takes its place is no better. Two first connections at once may get two backends:
 * the later note counts.
 */
static __noinline __u32 service_pick_sticky(const struct service *service, const struct headers *packet, const struct addr *client, __u32 kind)
{
	struct affinity_key key = { .client = *client, .service = service->id, .kind = kind };
	struct affinity *known = bpf_map_lookup_elem(&affinities, &key), fresh = {};
	const struct backend *backend = NULL;
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 had = 0;

	if (known && affinity_holds(service, known, now)) {
		had = known->backend;
		backend = backend_find(had);
	}
	if (known && backend && likely(backend->state == BACKEND_ACTIVE)) {
		known->last_used_ns = now;
		return had;
	}
	fresh.backend = service_pick_for(service, packet);
	if (backend && !backend_is_active(fresh.backend))
		fresh.backend = had;
	if (!fresh.backend)
		return 0;
	fresh.last_used_ns = now;
	/* Not noted, as the map takes no more: this client is not bound. */
	bpf_map_update_elem(&affinities, &key, &fresh, BPF_ANY);
	return fresh.backend;
}

/*
 * A backend for a new flow: its id, 0 when the service has none. What a service does not use costs a comparison. Not static: the verifier
 * walks it once for all hooks.
 */
__noinline __u32 service_choose(const struct service *service, const struct headers *packet)
{
	if (!service || !packet)
		return 0;
	if (unlikely(service->affinity_timeout && service->count))
		return service_pick_sticky(service, packet, &packet->source, AFFINITY_ADDRESS);
	return service_pick_for(service, packet);
}

/* The same at a socket, whose client is its network namespace. */
__noinline __u32 service_choose_at_socket(const struct service *service, __u64 netns_cookie)
{
	struct addr client = {};

	if (!service)
		return 0;
	if (likely(!service->affinity_timeout || !service->count))
		return service_pick(service);
	client.words[0] = (__u32)netns_cookie;
	client.words[1] = netns_cookie >> 32;
	return service_pick_sticky(service, NULL, &client, AFFINITY_NETNS);
}
