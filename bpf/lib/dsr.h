/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Direct server return: a backend's node answers the client itself, from the service's address.
 *
 *     client ─► node of the service's address ─► backend's node ─► backend
 *       ▲          backend's address, and the        │
 *       │          service's in an option            │
 *       └──────── from the service's address ◄───────┘
 *
 * The option is in TCP's SYN alone, so that later packets need no room for it, and in every first fragment of all other protocols, as
 * the middle never learns whether the backend's node has heard. It is in front of all other options and headers, inside the tunnel too.
 * What it says is believed only of a service that clients outside may use, and only by the connection that it opens.
 */
#pragma once

#include "conntrack.h"
#include "nat.h"
#include "service.h"
#include "translate.h"

/* IPv4: copied on fragmentation, control, number 26; as Cilium's. */
#define DSR_OPTION4 0x9a

struct dsr_option4 {
	__u8 type;
	__u8 length;
	__be16 port;
	__be32 addr;
};
_Static_assert(sizeof(struct dsr_option4) == 8, "dsr_option4");

/* IPv6: skipped by who does not know it, does not change on the way; as Cilium's. */
#define DSR_OPTION6 0x1b

struct dsr_header6 {
	__u8 next;
	__u8 length;		/* in units of 8 bytes, without the first */
	__u8 type;
	__u8 option_length;
	struct addr addr;
	__be16 port;
	__u16 pad;
};
_Static_assert(sizeof(struct dsr_header6) == 24, "dsr_header6");

#define IPV6_HOP_BY_HOP          0
#define IPV6_DESTINATION_OPTIONS 60

static __always_inline __u32 dsr_room(bool v6)
{
	return v6 ? sizeof(struct dsr_header6) : sizeof(struct dsr_option4);
}

static __always_inline bool dsr_is_told(const struct headers *packet)
{
	if (packet->flags & (PACKET_ICMP_ERROR | PACKET_LATER_FRAGMENT))
		return false;
	return packet->protocol != IPPROTO_TCP || packet_opens_tcp(packet);
}

/* The first word of an IPv4 header with another length, and what its checksum has to know. */
static __always_inline __u32 ipv4_longer(__u32 word, int bytes)
{
	__u32 host = bpf_ntohl(word);

	return bpf_htonl(host + (((__u32)bytes / 4) << 24) + bytes);
}

static __always_inline int dsr_add4(struct __sk_buff *skb, const struct service_address *frontend)
{
	struct {
		__be32 first;
		struct dsr_option4 option;
	} after = { .option = { DSR_OPTION4, sizeof(after.option), frontend->port, frontend->addr.words[3] } };
	__be32 before;
	__s64 difference;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &before, sizeof(before)))
		return -DROP_INVALID_PACKET;
	if ((bpf_ntohl(before) >> 24 & 15) > 13)
		return -DROP_INVALID_PACKET;
	if (bpf_skb_adjust_room(skb, sizeof(after.option), BPF_ADJ_ROOM_NET, 0))
		return -DROP_WRITE_ERROR;
	after.first = ipv4_longer(before, sizeof(after.option));
	difference = bpf_csum_diff(&before, sizeof(before), (__be32 *)&after, sizeof(after), 0);
	if (bpf_l3_csum_replace(skb, ETH_HLEN + member_offset(struct iphdr, check), 0, difference, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &after.first, sizeof(after.first), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct iphdr), &after.option, sizeof(after.option), BPF_F_RECOMPUTE_CSUM))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

/* What the fixed header says of what follows it: payload length, next header, hop limit. */
struct ipv6_second_word {
	__be16 payload_length;
	__u8 next;
	__u8 hop_limit;
};

#define IPV6_SECOND_WORD (ETH_HLEN + member_offset(struct ipv6hdr, payload_len))

static __always_inline int dsr_add6(struct __sk_buff *skb, const struct service_address *frontend)
{
	struct dsr_header6 header = {
		.length = sizeof(header) / 8 - 1, .type = DSR_OPTION6, .option_length = sizeof(header) - 4, .addr = frontend->addr, .port = frontend->port,
	};
	struct ipv6_second_word word;

	if (bpf_skb_load_bytes(skb, IPV6_SECOND_WORD, &word, sizeof(word)))
		return -DROP_INVALID_PACKET;
	/* That one must come first, and nobody who asks for a service sends it. */
	if (word.next == IPV6_HOP_BY_HOP)
		return -DROP_INVALID_EXTENSION_HEADER;
	if (bpf_skb_adjust_room(skb, sizeof(header), BPF_ADJ_ROOM_NET, 0))
		return -DROP_WRITE_ERROR;
	header.next = word.next;
	word.next = IPV6_DESTINATION_OPTIONS;
	word.payload_length = bpf_htons(bpf_ntohs(word.payload_length) + sizeof(header));
	if (bpf_skb_store_bytes(skb, IPV6_SECOND_WORD, &word, sizeof(word), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &header, sizeof(header), BPF_F_RECOMPUTE_CSUM))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

/* Writes the service's address into the packet. Packet pointers are stale after this. */
__noinline int dsr_add(struct __sk_buff *skb, struct headers *packet, const struct service_address *frontend)
{
	int verdict;

	if (!packet || !frontend)
		return -DROP_INVALID_PACKET;
	verdict = packet_is_v6(packet) ? dsr_add6(skb, frontend) : dsr_add4(skb, frontend);
	if (verdict == CONTINUE)
		packet->l4_offset += dsr_room(packet_is_v6(packet));
	return verdict;
}

static __always_inline int dsr_take4(struct __sk_buff *skb, struct service_address *frontend)
{
	struct {
		__be32 first;
		struct dsr_option4 option;
	} before;
	__be32 after;
	__s64 difference;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), &before.option, sizeof(before.option)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &before.first, sizeof(before.first)))
		return -DROP_INVALID_PACKET;
	if (before.option.type != DSR_OPTION4)
		return CONTINUE;
	if (before.option.length != sizeof(before.option))
		return -DROP_INVALID_PACKET;
	frontend->addr = addr_from_v4(before.option.addr);
	frontend->port = before.option.port;
	after = ipv4_longer(before.first, -(int)sizeof(before.option));
	difference = bpf_csum_diff((__be32 *)&before, sizeof(before), &after, sizeof(after), 0);
	if (bpf_l3_csum_replace(skb, ETH_HLEN + member_offset(struct iphdr, check), 0, difference, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &after, sizeof(after), 0) ||
	    bpf_skb_adjust_room(skb, -(int)sizeof(before.option), BPF_ADJ_ROOM_NET, 0))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

static __always_inline int dsr_take6(struct __sk_buff *skb, struct service_address *frontend)
{
	struct ipv6_second_word word;
	struct dsr_header6 header;

	if (bpf_skb_load_bytes(skb, IPV6_SECOND_WORD, &word, sizeof(word)))
		return -DROP_INVALID_PACKET;
	if (word.next != IPV6_DESTINATION_OPTIONS)
		return CONTINUE;
	/* One of another length is another option. */
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), &header, sizeof(header)) ||
	    header.length != sizeof(header) / 8 - 1 || header.type != DSR_OPTION6 || header.option_length != sizeof(header) - 4)
		return CONTINUE;
	frontend->addr = header.addr;
	frontend->port = header.port;
	word.next = header.next;
	word.payload_length = bpf_htons(bpf_ntohs(word.payload_length) - sizeof(header));
	if (bpf_skb_store_bytes(skb, IPV6_SECOND_WORD, &word, sizeof(word), 0) ||
	    bpf_skb_adjust_room(skb, -(int)sizeof(header), BPF_ADJ_ROOM_NET, 0))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

/* Is this an address that clients outside may ask for? Node ports are rows of each node's own addresses: another node's are judged by ours. */
static __noinline bool dsr_is_service(const struct service_address *frontend, __u8 protocol)
{
	const struct ipcache_entry *node;
	const struct service *service;
	struct addr own;

	if (service_find_for(&frontend->addr, frontend->port, protocol, false))
		return true;
	node = ipcache_find(&frontend->addr);
	if (!node || !(node->flags & IPCACHE_NODE))
		return false;
	own = addr_is_v4(&frontend->addr) ? config_addr(&config.node_ip4) : config_addr(&config.node_ip6);
	service = service_find_for(&own, frontend->port, protocol, false);
	return service && service->type == SERVICE_NODE_PORT;
}

static __always_inline struct nat_key dsr_key(const struct addr *backend, __be16 backend_port, const struct addr *client, __be16 client_port, __u8 protocol)
{
	struct nat_key key = {
		.local = *backend, .remote = *client, .local_port = backend_port, .remote_port = client_port, .protocol = protocol, .direction = NAT_FRONTEND,
	};

	return key;
}

/* Remembers whom the client believes to talk to. */
static __noinline int dsr_note(const struct packet *packet, const struct service_address *frontend)
{
	struct nat_key key = dsr_key(&packet->destination, packet->destination_port, &packet->source, packet->source_port, packet->protocol);
	struct nat_entry entry = { .addr = frontend->addr, .port = frontend->port, .endpoint = endpoint_id(packet->to) };
	const struct nat_entry *known = bpf_map_lookup_elem(&nat, &key);

	if (known && known->port == entry.port && known->endpoint == entry.endpoint && addr_equal(&known->addr, &entry.addr))
		return CONTINUE;
	entry.created_ns = bpf_ktime_get_coarse_ns();
	return bpf_map_update_elem(&nat, &key, &entry, BPF_ANY) ? -DROP_NAT_FULL : CONTINUE;
}

/* At the backend's node: takes the option out; other options stay. PACKET_DSR: it was there, and is believed. Packet pointers are stale after this. */
static __always_inline int dsr_take(struct __sk_buff *skb, struct packet *packet, struct service_address *frontend)
{
	bool v6 = packet_is_v6(&packet->headers);
	int verdict = v6 ? dsr_take6(skb, frontend) : dsr_take4(skb, frontend);

	if (verdict != CONTINUE || !frontend->port)
		return verdict;
	packet->l4_offset -= dsr_room(v6);
	/* Who puts fragments together and cuts them again, as a bridge with conntrack does, copies it to all (RFC 791, RFC 8200): the first one said it. */
	if (packet->flags & PACKET_LATER_FRAGMENT)
		return CONTINUE;
	/* In an error it would speak of nothing. */
	if (!dsr_is_told(&packet->headers) || !dsr_is_service(frontend, packet->protocol))
		return -DROP_INVALID_PACKET;
	packet->flags |= PACKET_DSR;
	return CONTINUE;
}

/* An answer of a backend here: from the service's address. */
static __noinline int dsr_reverse(struct __sk_buff *skb, struct packet *packet)
{
	struct nat_key key = dsr_key(&packet->source, packet->source_port, &packet->destination, packet->destination_port, packet->protocol);
	const struct nat_entry *frontend = bpf_map_lookup_elem(&nat, &key);
	struct addr addr;

	if (!frontend || frontend->endpoint != endpoint_id(packet->from))
		return -DROP_NO_MAPPING_FOR_NAT;
	addr = frontend->addr;
	return translate(skb, &packet->headers, END_SOURCE, &addr, frontend->port);
}
