/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One entry a connection, one lookup a packet. */
#pragma once

#include "packet.h"

enum conntrack_kind {
	CONNTRACK_FLOW = 0,
	CONNTRACK_SERVICE = 1,	/* client ↔ service address, before translation: remembers the backend */
};

enum conntrack_flag {
	CONNTRACK_ORIGINATOR_LOW = 1,	/* the low end of the key sent the first packet */
	CONNTRACK_SEEN_REPLY = 2,
	CONNTRACK_SEEN_NON_SYN = 4,
	CONNTRACK_FORWARD_CLOSING = 8,
	CONNTRACK_REPLY_CLOSING = 16,
	CONNTRACK_MASQUERADED = 32,
	CONNTRACK_HOST = 64,		/* opened by the node's own stack: no policy */
	CONNTRACK_OVERLAY = 128,	/* opened from the tunnel: the source identity is the tunnel's word */
	CONNTRACK_AUDITED = 256,	/* would have been denied */
	CONNTRACK_HAIRPIN = 512,	/* a pod with itself by way of a service: no policy, and the service's address at the client's end */
};

/* The two ends in memcmp order of (address, port), so that both directions have the same key. */
struct conntrack_key {
	struct addr low;
	struct addr high;
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 kind;
	__u16 pad;
};
_Static_assert(sizeof(struct conntrack_key) == 40, "conntrack_key");

struct conntrack_entry {
	__u64 expires_ns;		/* CLOCK_MONOTONIC, coarse */
	__u64 forward_packets;		/* counters race between processors: they may lose a packet, nothing is decided by them */
	__u64 forward_bytes;
	__u64 reply_packets;
	__u64 reply_bytes;
	__u32 flags;
	__u32 generation;		/* of the policy that allowed it */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 source_endpoint;		/* local ids; 0 = not local */
	__u32 destination_endpoint;
	__u32 service;			/* key of service_addresses; 0 = not translated */
	__u32 backend;
};
_Static_assert(sizeof(struct conntrack_entry) == 72, "conntrack_entry");

/* Packets write and read, the agent lists and deletes; as many as Cilium's default for TCP. LRU: under pressure the idle go first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 524288);
	__type(key, struct conntrack_key);
	__type(value, struct conntrack_entry);
} conntrack SEC(".maps");

/* Lifetimes in seconds. */
#define LIFETIME_TCP_SYN         60
#define LIFETIME_TCP_ESTABLISHED 8000
#define LIFETIME_TCP_CLOSING     10
#define LIFETIME_OTHER           60

/* Fills the key; true when the sender of this packet is the low end. */
static __always_inline bool conntrack_key_of(const struct headers *packet, __u8 kind, struct conntrack_key *key)
{
	int order = addr_compare(&packet->source, &packet->destination);
	bool source_is_low = order ? order < 0 : bpf_ntohs(packet->source_port) <= bpf_ntohs(packet->destination_port);

	key->low = source_is_low ? packet->source : packet->destination;
	key->high = source_is_low ? packet->destination : packet->source;
	key->low_port = source_is_low ? packet->source_port : packet->destination_port;
	key->high_port = source_is_low ? packet->destination_port : packet->source_port;
	key->protocol = packet->protocol;
	key->kind = kind;
	key->pad = 0;
	return source_is_low;
}

/* Puts the ends of a key in order; for keys that do not come from a packet. */
static __always_inline void conntrack_key_sort(struct conntrack_key *key)
{
	int order = addr_compare(&key->low, &key->high);
	struct addr addr = key->low;
	__be16 port = key->low_port;

	if (order < 0 || (!order && bpf_ntohs(key->low_port) <= bpf_ntohs(key->high_port)))
		return;
	key->low = key->high;
	key->high = addr;
	key->low_port = key->high_port;
	key->high_port = port;
}

static __always_inline bool conntrack_is_reply(const struct conntrack_entry *entry, bool source_is_low)
{
	return source_is_low != !!(entry->flags & CONNTRACK_ORIGINATOR_LOW);
}

static __always_inline bool packet_opens_tcp(const struct headers *packet)
{
	return packet->protocol == IPPROTO_TCP && !(packet->flags & (PACKET_ICMP_ERROR | PACKET_LATER_FRAGMENT)) &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline __u32 endpoint_id(const struct endpoint *endpoint)
{
	return endpoint ? endpoint->id : 0;
}

/*
 * The living entry of this packet's connection. An entry is dead when its time is over, when a SYN comes after FIN or RST (the port is
 * used again), and when an address of it has another owner now: an address that changes hands never inherits.
 */
static __always_inline struct conntrack_entry *conntrack_find(const struct packet *packet, const struct conntrack_key *key, bool source_is_low, __u64 now)
{
	struct conntrack_entry *entry = bpf_map_lookup_elem(&conntrack, key);
	bool reply;

	if (!entry || entry->expires_ns < now)
		return NULL;
	reply = conntrack_is_reply(entry, source_is_low);
	if (entry->source_endpoint != endpoint_id(reply ? packet->to : packet->from) ||
	    entry->destination_endpoint != endpoint_id(reply ? packet->from : packet->to))
		return NULL;
	if (unlikely(packet_opens_tcp(&packet->headers) && entry->flags & (CONNTRACK_FORWARD_CLOSING | CONNTRACK_REPLY_CLOSING)))
		return NULL;
	return entry;
}

static __always_inline __u32 conntrack_flags_after(const struct headers *packet, __u32 flags, bool reply)
{
	if (reply)
		flags |= CONNTRACK_SEEN_REPLY;
	if (packet->protocol != IPPROTO_TCP || packet->flags & PACKET_LATER_FRAGMENT)
		return flags;
	if (!(packet->tcp_flags & TCP_SYN))
		flags |= CONNTRACK_SEEN_NON_SYN;
	if (unlikely(packet->tcp_flags & TCP_FIN))
		flags |= reply ? CONNTRACK_REPLY_CLOSING : CONNTRACK_FORWARD_CLOSING;
	if (unlikely(packet->tcp_flags & TCP_RST))
		flags |= CONNTRACK_REPLY_CLOSING | CONNTRACK_FORWARD_CLOSING;
	return flags;
}

static __always_inline __u64 conntrack_expiry(__u8 protocol, __u32 flags, __u64 now)
{
	const __u32 closing = CONNTRACK_FORWARD_CLOSING | CONNTRACK_REPLY_CLOSING;
	__u64 seconds = LIFETIME_OTHER;

	if (protocol == IPPROTO_TCP)
		seconds = (flags & closing) == closing ? LIFETIME_TCP_CLOSING :
			  flags & CONNTRACK_SEEN_NON_SYN ? LIFETIME_TCP_ESTABLISHED : LIFETIME_TCP_SYN;
	return now + seconds * NANOSECONDS;
}

/*
 * Notes a packet. Two processors that see both directions at once may lose one's flag: a lost closing flag keeps the entry for its
 * established time (LRU takes it earlier under pressure), a lost seen flag comes back with the next packet.
 */
static __always_inline void conntrack_touch(struct conntrack_entry *entry, const struct headers *packet, bool reply, __u32 bytes, __u64 now)
{
	__u32 flags;

	/* What somebody reports about a connection does not keep it alive. */
	if (packet->flags & PACKET_ICMP_ERROR)
		return;
	flags = conntrack_flags_after(packet, entry->flags, reply);
	if (flags != entry->flags)
		entry->flags = flags;
	entry->expires_ns = conntrack_expiry(packet->protocol, flags, now);
	if (reply) {
		entry->reply_packets++;
		entry->reply_bytes += bytes;
	} else {
		entry->forward_packets++;
		entry->forward_bytes += bytes;
	}
}
