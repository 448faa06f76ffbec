/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Masquerade: pods talk to the world from the node's address, and clients outside to backends on other nodes. */
#pragma once

#include "config.h"
#include "conntrack.h"
#include "runtime.h"
#include "translate.h"

enum nat_direction {
	NAT_OUTGOING = 0,	/* local = pod's address and port → the node's */
	NAT_INCOMING = 1,	/* local = node's address and port → the pod's */
	NAT_FRONTEND = 2,	/* local = a backend's address and port → the service address that its client believes it talks to (DSR) */
};

struct masquerade_exclusion_key {
	__u32 prefix_bits;
	struct addr addr;
};
_Static_assert(sizeof(struct masquerade_exclusion_key) == 20, "masquerade_exclusion_key");

/* The agent writes, pods' new connections to the world read where runtime.flags has MASQUERADE_EXCLUSIONS: where pods keep their address. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct masquerade_exclusion_key);
	__type(value, __u32);
} masquerade_exclusions SEC(".maps");

static __noinline bool masquerade_is_excluded(const struct addr *addr)
{
	struct masquerade_exclusion_key key = { .prefix_bits = 128, .addr = *addr };

	return runtime_has(RUNTIME_MASQUERADE_EXCLUSIONS) && bpf_map_lookup_elem(&masquerade_exclusions, &key);
}

struct nat_key {
	struct addr local;
	struct addr remote;
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 direction;
	__u16 pad;
};
_Static_assert(sizeof(struct nat_key) == 40, "nat_key");

struct nat_entry {
	struct addr addr;
	__be16 port;
	__u16 pad;
	__u32 endpoint;		/* local id of the pod that made the mapping; 0 = a client outside */
	__u64 created_ns;
};
_Static_assert(sizeof(struct nat_entry) == 32, "nat_entry");

/* Packets write and read. Two entries a connection: half as many masqueraded connections as conntrack has entries would be 524288, a quarter is kept. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct nat_key);
	__type(value, struct nat_entry);
} nat SEC(".maps");

/* Ports tried for one mapping: with half of them taken, one in 65,536 connections fails. */
#define NAT_TRIES 16

static __always_inline bool nat_port_in_range(__be16 port)
{
	__u16 number = bpf_ntohs(port);

	return number >= config.nat_port_min && number <= config.nat_port_max;
}

static __always_inline __be16 nat_random_port(void)
{
	__u32 span = (__u32)config.nat_port_max - config.nat_port_min + 1;

	return bpf_htons(config.nat_port_min + bpf_get_prandom_u32() % (span ? span : 1));
}

/* Is the connection that made this mapping over? Then its port may be taken; its entry would only go when LRU needs the room. */
static __always_inline bool nat_is_abandoned(const struct nat_key *incoming, const struct nat_entry *entry)
{
	struct conntrack_key key = {
		.low = entry->addr,
		.high = incoming->remote,
		.low_port = entry->port,
		.high_port = incoming->remote_port,
		.protocol = incoming->protocol,
	};
	const struct conntrack_entry *connection;

	conntrack_key_sort(&key);
	connection = bpf_map_lookup_elem(&conntrack, &key);
	return !connection || connection->expires_ns < bpf_ktime_get_coarse_ns();
}

/*
 * Takes one port if it is free, abandoned, or already ours. Inserting the incoming mapping is the lock: with NOEXIST only one processor
 * gets it. Two that take over the same abandoned port at once both believe to have it: the later writer gets the answers, the other
 * connection's time out and it tries again.
 */
__noinline int nat_claim(const struct nat_key *incoming, const struct nat_entry *mapping)
{
	const struct nat_entry *holder;
	long error;

	if (!incoming || !mapping)
		return -DROP_NAT_FULL;
	error = bpf_map_update_elem(&nat, incoming, mapping, BPF_NOEXIST);
	if (!error)
		return CONTINUE;
	if (error != -EEXIST)
		return -DROP_NAT_FULL;
	holder = bpf_map_lookup_elem(&nat, incoming);
	if (!holder)
		return -DROP_NAT_CONTENDED;
	if (addr_equal(&holder->addr, &mapping->addr) && holder->port == mapping->port && holder->endpoint == mapping->endpoint)
		return CONTINUE;
	if (!nat_is_abandoned(incoming, holder))
		return -DROP_NAT_CONTENDED;
	return bpf_map_update_elem(&nat, incoming, mapping, BPF_ANY) ? -DROP_NAT_FULL : CONTINUE;
}

/* A new mapping for `outgoing` to `result->addr`: the original port if it is in the range and free, else random ones. */
static __noinline int nat_allocate(struct packet *packet, const struct nat_key *outgoing, struct nat_entry *result)
{
	struct nat_key incoming = *outgoing;
	struct nat_entry mapping = {
		.addr = outgoing->local,
		.port = outgoing->local_port,
		.endpoint = endpoint_id(packet->from),
		.created_ns = bpf_ktime_get_coarse_ns(),
	};
	int verdict = -DROP_NAT_CONTENDED;

	incoming.local = result->addr;
	incoming.direction = NAT_INCOMING;
	for (int i = 0; i < NAT_TRIES && verdict == -DROP_NAT_CONTENDED; i++) {
		/* SCTP's checksum is a CRC over the ports that cannot be corrected here: its ports stay. */
		if (outgoing->protocol != IPPROTO_SCTP && (i || !nat_port_in_range(incoming.local_port)))
			incoming.local_port = nat_random_port();
		verdict = nat_claim(&incoming, &mapping);
	}
	if (verdict != CONTINUE)
		return verdict;
	result->port = incoming.local_port;
	result->pad = 0;
	result->endpoint = mapping.endpoint;
	result->created_ns = mapping.created_ns;
	return bpf_map_update_elem(&nat, outgoing, result, BPF_ANY) ? -DROP_NAT_FULL : CONTINUE;
}

/* Does the pair of this mapping still exist? LRU forgets the two one by one. */
static __noinline bool nat_is_paired(const struct nat_key *outgoing, const struct nat_entry *entry)
{
	struct nat_key incoming = *outgoing;
	const struct nat_entry *back;

	incoming.local = entry->addr;
	incoming.local_port = entry->port;
	incoming.direction = NAT_INCOMING;
	back = bpf_map_lookup_elem(&nat, &incoming);
	return back && back->port == outgoing->local_port && addr_equal(&back->addr, &outgoing->local);
}

static __always_inline bool nat_supports(const struct packet *packet)
{
	return protocol_has_ports(packet->protocol) || (packet_is_icmp(&packet->headers) && packet->source_port);
}

/* Of the family of where the packet goes. */
static __always_inline struct addr nat_node_address(const struct headers *packet)
{
	return !addr_is_v4(&packet->destination) ? config_addr(&config.node_ip6) : config_addr(&config.node_ip4);
}

/* Where backends on other nodes send their answers: through the tunnel when that is how they are reached. */
static __always_inline struct addr nat_router_address(const struct headers *packet)
{
	return !addr_is_v4(&packet->destination) ? config_addr(&config.router_ip6) : config_addr(&config.router_ip4);
}

/* Gives a packet one of the node's addresses. */
static __noinline int nat_masquerade(struct __sk_buff *skb, struct packet *packet, const struct addr *address)
{
	struct nat_key outgoing = {
		.local = packet->source,
		.remote = packet->destination,
		.local_port = packet->source_port,
		.remote_port = packet->destination_port,
		.protocol = packet->protocol,
		.direction = NAT_OUTGOING,
	};
	const struct nat_entry *entry;
	struct nat_entry mapping;
	bool known;
	int verdict;

	if (packet->flags & PACKET_UNRELATED || !nat_supports(packet))
		return -DROP_NAT_UNSUPPORTED_PROTOCOL;
	entry = bpf_map_lookup_elem(&nat, &outgoing);
	known = entry && entry->endpoint == endpoint_id(packet->from) && addr_equal(&entry->addr, address);
	/* Once an answer has come the pair is in use, and what is in use stays. */
	if (known && !(packet->ct_flags & CONNTRACK_SEEN_REPLY))
		known = nat_is_paired(&outgoing, entry);
	if (known) {
		mapping = *entry;
	} else if (packet->flags & PACKET_ICMP_ERROR) {
		return -DROP_NO_MAPPING_FOR_NAT;
	} else {
		mapping.addr = *address;
		verdict = nat_allocate(packet, &outgoing, &mapping);
		if (verdict != CONTINUE)
			return verdict;
	}
	return translate(skb, &packet->headers, END_SOURCE, &mapping.addr, mapping.port);
}

/*
 * Gives an answer to a masqueraded connection back its pod, or its client outside, who is nobody here. Leaves all other packets to the
 * node alone.
 */
static __noinline int nat_unmasquerade(struct __sk_buff *skb, struct packet *packet)
{
	struct nat_key incoming = {
		.local = packet->destination,
		.remote = packet->source,
		.local_port = packet->destination_port,
		.remote_port = packet->source_port,
		.protocol = packet->protocol,
		.direction = NAT_INCOMING,
	};
	const struct endpoint *owner;
	const struct nat_entry *entry;
	struct addr addr;

	if (!nat_port_in_range(packet->destination_port) && packet->protocol != IPPROTO_SCTP)
		return CONTINUE;
	entry = bpf_map_lookup_elem(&nat, &incoming);
	if (!entry)
		return CONTINUE;
	owner = endpoint_find(&entry->addr);
	if (endpoint_id(owner) != entry->endpoint)
		return -DROP_UNROUTABLE_IP;
	packet->to = owner;
	packet->flags |= PACKET_UNMASQUERADED;
	addr = entry->addr;
	if (unlikely(addr_is_v4(&addr) == packet_is_v6(&packet->headers)))
		packet->flags |= PACKET_OTHER_FAMILY;
	return translate(skb, &packet->headers, END_DESTINATION, &addr, entry->port);
}
