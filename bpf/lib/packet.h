/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet on its walk: what its headers say, and what the steps have found out about it. */
#pragma once

#include "addr.h"
#include "drop.h"
#include "endpoint.h"
#include "fragments.h"
#include "ipcache.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

#define ICMP4_ECHO_REPLY 0
#define ICMP4_ECHO       8
#define ICMP6_ECHO       128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_MLD_FIRST  130
#define ICMP6_MLD_LAST   132
#define ICMP6_ROUTER_SOLICITATION     133
#define ICMP6_ROUTER_ADVERTISEMENT    134
#define ICMP6_NEIGHBOUR_SOLICITATION  135
#define ICMP6_NEIGHBOUR_ADVERTISEMENT 136
#define ICMP6_REDIRECT   137
#define ICMP6_MLD2       143

/* Destination options, hop by hop, routing, fragment, authentication, and a spare: nobody honest sends more. */
#define EXTENSION_HEADERS_MAX 6

enum packet_flag {
	PACKET_V6 = 1,
	PACKET_FIRST_FRAGMENT = 2,
	PACKET_LATER_FRAGMENT = 4,	/* no transport header; ports come from the first fragment */
	PACKET_ICMP_ERROR = 8,		/* ends and protocol below are those of the quoted packet, turned round */
	PACKET_UNRELATED = 16,		/* an ICMP error about nothing we know */
	PACKET_SILENT = 32,		/* drops are counted but not told */
	PACKET_OVERLAY = 64,		/* came out of the tunnel */
	PACKET_UNMASQUERADED = 128,	/* came to the node's address, as an answer to whom it stood in for */
	PACKET_REPLY = 256,		/* goes against the direction in which its connection was opened */
	PACKET_HAIRPIN = 512,		/* from a pod by way of a service to itself */
	PACKET_TRANSIT = 1024,		/* from a client outside to a service's backend on another node, answered by way of this one */
	PACKET_DSR = 2048,		/* the same, answered by the backend's node: as this one forwards it, or as the backend's has got it */
	PACKET_OTHER_FAMILY = 4096,	/* ends noted here are of another family than those in the frame: nat64.h */
	PACKET_FROM_PROXY = 8192,	/* of the node's layer 7 proxy: proxy.h */
	PACKET_REJECT = 16384,		/* for a service that has nobody, and may be told so */
	PACKET_TO_PROXY = 32768,	/* the proxy's, whoever it is addressed to */
};

/* What is told of a packet when it is handed on (tell.h). */
enum packet_tell {
	TELL_ROOM = 1,		/* its record has been put together */
	TELL_TRACE = 2,
	TELL_NAMES = 4,		/* a DNS message */
	TELL_RESET = 8,		/* not handed on: its sender is to hear that the connection is over */
};

/*
 * An ICMP error travels with the connection that it is about: an error about A → B belongs to the direction B → A. So its ends here
 * are the quoted ones turned round, and every step (conntrack, services, masquerade) treats it like a packet of that connection.
 * Only translate() knows that the ends are written in the quoted header.
 */
struct address_pair {
	struct addr source;
	struct addr destination;
};

struct headers {
	union {
		struct address_pair;
		struct address_pair ends;
	};
	struct addr reporter;			/* source in the outer header; differs from `source` only for ICMP errors */
	__be16 source_port;			/* ICMP echo: the identifier, at the end that asks; else 0 */
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u16 l4_offset;
	__u16 quoted_l3_offset;			/* ICMP errors: the quoted headers */
	__u16 quoted_l4_offset;
	__u16 l4_length;
	__u16 flags;				/* enum packet_flag */
	__u8 hop_limit;
	/* Stacks are full: layer 7 sets that either end's verdict asks for (0 = none) stand where nobody looks any more when that end is judged. */
	union {
		__be32 fragment_id;
		__u32 egress_l7;
	};
	__u32 source_identity;
	__u32 destination_identity;
	__u32 service;				/* id of the service that the client asked for, if translated here */
	__u32 backend;
	union {
		__u32 destination_policy_identity;	/* who the destination is for egress policy */
		__u32 ingress_l7;
	};
	__u32 rule;				/* of the last verdict */
	__u32 shadow_rule;			/* of the last verdict, where shadow policies differ */
	__u32 egress_rule;			/* what decided at either end; 0 = policy was not asked there */
	__u32 ingress_rule;
	__u8 verdict;
	__u8 match;
	__u8 direction;
	__u8 ct_state;
	__u8 shadow_verdict;			/* 0 = the same */
	__u8 verdict_flags;			/* enum policy_verdict_flag */
	__u8 tell;				/* enum packet_tell */
	__u8 pad;
	__u32 ct_flags;				/* of the connection's entry, or to be set in it */
};

/*
 * The pointers stand apart from the plain data: steps that need only the data are global functions, which the verifier walks once and
 * not at every call, but which would make it forget what the pointers are.
 */
struct packet {
	union {
		struct headers;
		struct headers headers;
	};
	const struct endpoint *from;		/* local owners of the two ends, or NULL */
	const struct endpoint *to;
	const struct ipcache_entry *remote;	/* way to a destination that is not local, once looked up */
};

static __always_inline bool packet_is_v6(const struct headers *packet)
{
	return packet->flags & PACKET_V6;
}

/* The family of the ends as they are noted, which the frame may not have yet. */
static __always_inline bool ends_are_v6(const struct headers *packet)
{
	return likely(!(packet->flags & PACKET_OTHER_FAMILY)) ? packet_is_v6(packet) : !addr_is_v4(&packet->destination);
}

/* Has it options at all? Nearly no packet has. */
static __always_inline bool packet_has_options(const struct headers *packet)
{
	return packet->l4_offset != ETH_HLEN + (packet_is_v6(packet) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
}

static __always_inline bool protocol_has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* Protocol 1 inside IPv6 and 58 inside IPv4 are not ICMP: they are unknown protocols. */
static __always_inline bool packet_is_icmp(const struct headers *packet)
{
	return packet->protocol == (packet_is_v6(packet) ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static __always_inline bool icmp_is_echo(__u8 type, bool v6)
{
	return v6 ? type == ICMP6_ECHO || type == ICMP6_ECHO_REPLY : type == ICMP4_ECHO || type == ICMP4_ECHO_REPLY;
}

static __always_inline bool icmp_is_echo_request(__u8 type, bool v6)
{
	return type == (v6 ? ICMP6_ECHO : ICMP4_ECHO);
}

/* Errors quote the packet they are about: unreachable, source quench, time exceeded, parameter problem; in IPv6 all below 128 are errors. */
static __always_inline bool icmp_is_error(__u8 type, bool v6)
{
	return v6 ? type >= 1 && type <= 4 : type == 3 || type == 4 || type == 11 || type == 12;
}

/* The first 8 bytes of any transport header that we know. */
struct transport_head {
	__be16 source;		/* ICMP: type and code */
	__be16 destination;	/* ICMP: checksum */
	__be16 third;		/* UDP: length; ICMP echo: identifier */
	__be16 fourth;
};

static __always_inline void ports_from_head(struct transport_head *head, __u8 protocol, bool v6, __be16 *source, __be16 *destination)
{
	__u8 type = *(__u8 *)head;

	*source = 0;
	*destination = 0;
	if (protocol_has_ports(protocol)) {
		*source = head->source;
		*destination = head->destination;
	} else if (icmp_is_echo_request(type, v6)) {
		*source = head->third;
	} else if (icmp_is_echo(type, v6)) {
		*destination = head->third;
	}
}

struct extension_walk {
	__u32 offset;		/* of the transport header */
	__u32 end;		/* of the packet, both from the start of the frame */
	__be32 fragment_id;
	__u16 fragment;		/* offset in units of 8, shifted left by 3, and the "more" bit; 0 = whole */
	__u8 protocol;
	__u8 fragmented;
};

/* Walks IPv6 extension headers to the transport header. Not static: the verifier then walks it once, not at every call. */
__noinline int parse_extensions(struct __sk_buff *skb, struct extension_walk *walk)
{
	if (!walk)
		return -DROP_INVALID_PACKET;
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		__u8 head[8];
		__u32 length;

		switch (walk->protocol) {
		case 0:   /* hop by hop */
		case 43:  /* routing */
		case 44:  /* fragment */
		case 51:  /* authentication */
		case 60:  /* destination options */
			break;
		default:
			return CONTINUE;
		}
		if (walk->offset + sizeof(head) > walk->end || bpf_skb_load_bytes(skb, walk->offset, head, sizeof(head)))
			return -DROP_INVALID_EXTENSION_HEADER;
		length = walk->protocol == 44 ? 8 : walk->protocol == 51 ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		if (walk->protocol == 44) {
			walk->fragment = head[2] << 8 | head[3];
			walk->fragmented = 1;
			__builtin_memcpy(&walk->fragment_id, head + 4, 4);
		}
		walk->protocol = head[0];
		walk->offset += length;
		if (walk->offset > walk->end)
			return -DROP_INVALID_EXTENSION_HEADER;
		/* What follows in a later fragment is data. */
		if (walk->fragmented && walk->fragment & 0xfff8)
			return CONTINUE;
	}
	return -DROP_INVALID_EXTENSION_HEADER;
}

/* Reads the packet that an ICMP error quotes. When it cannot be read the error stays an ordinary ICMP packet. */
static __noinline bool parse_quoted(struct __sk_buff *skb, struct headers *packet)
{
	__u32 l3 = packet->l4_offset + 8;
	struct transport_head head;
	struct addr source, destination;
	__u32 l4;
	__u8 protocol;

	if (packet_is_v6(packet)) {
		struct ipv6hdr ip;
		struct extension_walk walk = {};

		if (bpf_skb_load_bytes(skb, l3, &ip, sizeof(ip)) || ip.version != 6)
			return false;
		walk.offset = l3 + sizeof(ip);
		walk.end = skb->len;
		walk.protocol = ip.nexthdr;
		if (parse_extensions(skb, &walk) != CONTINUE || walk.fragment & 0xfff8)
			return false;
		__builtin_memcpy(&source, &ip.saddr, sizeof(source));
		__builtin_memcpy(&destination, &ip.daddr, sizeof(destination));
		l4 = walk.offset;
		protocol = walk.protocol;
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, l3, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff))
			return false;
		source = addr_from_v4(ip.saddr);
		destination = addr_from_v4(ip.daddr);
		l4 = l3 + ip.ihl * 4;
		protocol = ip.protocol;
	}
	if (!addr_equal(&source, &packet->destination) || bpf_skb_load_bytes(skb, l4, &head, sizeof(head)))
		return false;
	if (!protocol_has_ports(protocol) &&
	    (protocol != packet->protocol || !icmp_is_echo(*(__u8 *)&head, packet_is_v6(packet))))
		return false;

	packet->flags |= PACKET_ICMP_ERROR;
	packet->source = destination;
	ports_from_head(&head, protocol, packet_is_v6(packet), &packet->destination_port, &packet->source_port);
	packet->protocol = protocol;
	packet->quoted_l3_offset = l3;
	packet->quoted_l4_offset = l4;
	return true;
}

/* An ICMP error about no connection is judged as the ICMP packet that it is. */
static __always_inline void packet_make_unrelated(struct headers *packet)
{
	packet->flags = (packet->flags & ~PACKET_ICMP_ERROR) | PACKET_UNRELATED;
	packet->source = packet->reporter;
	packet->protocol = packet_is_v6(packet) ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	packet->source_port = 0;
	packet->destination_port = 0;
}

/*
 * What is judged has to be what arrives. Of a payload that is no part of the packet's linear memory the sender may still change bytes: pages of
 * a file that it sends from (sendfile, splice), or its own memory (MSG_ZEROCOPY). Up to `end`, an offset in the frame, they become the packet's
 * own. False: there was no memory for it. Pointers into the packet are void after this.
 */
static __always_inline bool payload_own(struct __sk_buff *skb, __u32 end)
{
	__u32 linear = (long)skb->data_end - (long)skb->data;

	return likely(end <= linear) || !bpf_skb_pull_data(skb, end);
}

/* The verifier allows direct access up to 64 kB into the packet, counting the largest value that an offset could have. */
#define DIRECT_OFFSET_MAX 1000

static __always_inline int parse_tcp(struct __sk_buff *skb, struct headers *packet, __u32 length)
{
	__u64 offset = opaque(packet->l4_offset);
	struct tcphdr bytes, *tcp;

	tcp = (void *)(long)skb->data + offset;
	if (unlikely(offset > DIRECT_OFFSET_MAX || (void *)(tcp + 1) > (void *)(long)skb->data_end)) {
		if (bpf_skb_load_bytes(skb, offset, &bytes, sizeof(bytes)))
			return -DROP_INVALID_PACKET;
		tcp = &bytes;
	}
	if (length < 20 || tcp->doff < 5 || tcp->doff * 4 > length)
		return -DROP_INVALID_PACKET;
	packet->source_port = tcp->source;
	packet->destination_port = tcp->dest;
	packet->tcp_flags = ((__u8 *)tcp)[13];
	return CONTINUE;
}

/* Transport header of a packet that has one; `length` is what the IP header leaves for it. */
static __always_inline int parse_transport(struct __sk_buff *skb, struct headers *packet, __u32 length)
{
	bool v6 = packet_is_v6(packet), icmp = packet_is_icmp(packet);
	struct transport_head head;

	if (likely(packet->protocol == IPPROTO_TCP))
		return parse_tcp(skb, packet, length);
	if (!icmp && !protocol_has_ports(packet->protocol))
		return CONTINUE;
	if (length < sizeof(head) || bpf_skb_load_bytes(skb, packet->l4_offset, &head, sizeof(head)))
		return -DROP_INVALID_PACKET;
	if (packet->protocol == IPPROTO_SCTP && length < 12)
		return -DROP_INVALID_PACKET;
	/* A first fragment's UDP length counts the fragments to come; a segmentation-offloaded packet's may be 0. */
	if (packet->protocol == IPPROTO_UDP && !(packet->flags & PACKET_FIRST_FRAGMENT) && !skb->gso_size &&
	    (bpf_ntohs(head.third) < 8 || bpf_ntohs(head.third) > length))
		return -DROP_INVALID_PACKET;
	ports_from_head(&head, packet->protocol, v6, &packet->source_port, &packet->destination_port);
	if (!icmp)
		return CONTINUE;
	packet->icmp_type = ((__u8 *)&head)[0];
	packet->icmp_code = ((__u8 *)&head)[1];
	if (icmp_is_error(packet->icmp_type, v6) && ((packet->flags & PACKET_FIRST_FRAGMENT) || !parse_quoted(skb, packet)))
		packet->flags |= PACKET_UNRELATED;
	return CONTINUE;
}

static __always_inline void fragment_key_of(const struct headers *packet, struct fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = packet->source;
	key->destination = packet->destination;
	key->id = packet->fragment_id;
	key->protocol = packet->protocol;
}

static __noinline int parse_later_fragment(struct headers *packet)
{
	struct fragment_key key;
	const struct fragment *fragment;

	if (!protocol_has_ports(packet->protocol) && !packet_is_icmp(packet))
		return CONTINUE;
	fragment_key_of(packet, &key);
	fragment = bpf_map_lookup_elem(&fragments, &key);
	if (!fragment)
		return -DROP_FRAGMENT_NOT_FOUND;
	packet->source_port = fragment->source_port;
	packet->destination_port = fragment->destination_port;
	packet->icmp_type = fragment->icmp_type;
	return CONTINUE;
}

/* Called once the sender is known to be honest about its address, so that nobody writes ports for another's datagram. */
__noinline int fragment_remember(struct headers *packet)
{
	struct fragment fragment = {};
	struct fragment_key key;

	if (!packet)
		return -DROP_INVALID_PACKET;
	fragment.source_port = packet->source_port;
	fragment.destination_port = packet->destination_port;
	fragment.icmp_type = packet->icmp_type;
	fragment_key_of(packet, &key);
	return bpf_map_update_elem(&fragments, &key, &fragment, BPF_ANY) ? -DROP_FRAGMENT_TABLE_FULL : CONTINUE;
}

static __always_inline int fragment_learn(struct packet *packet)
{
	return unlikely(packet->flags & PACKET_FIRST_FRAGMENT) ? fragment_remember(&packet->headers) : CONTINUE;
}

static __always_inline int parse_v4(struct __sk_buff *skb, struct headers *packet, struct iphdr *ip, __u32 *length)
{
	__u32 total = bpf_ntohs(ip->tot_len), header = ip->ihl * 4, have = skb->len - ETH_HLEN;
	__u16 fragment = bpf_ntohs(ip->frag_off);

	if (ip->version != 4 || header < sizeof(*ip))
		return -DROP_INVALID_PACKET;
	/* Segments above 64 kB carry 0: the length is the buffer's. */
	if (!total && skb->gso_size)
		total = have;
	if (total < header || total > have)
		return -DROP_INVALID_PACKET;
	packet->source = addr_from_v4(ip->saddr);
	packet->destination = addr_from_v4(ip->daddr);
	packet->protocol = ip->protocol;
	packet->hop_limit = ip->ttl;
	packet->l4_offset = ETH_HLEN + header;
	if (unlikely(fragment & 0x3fff)) {
		packet->fragment_id = ip->id;
		packet->flags |= fragment & 0x1fff ? PACKET_LATER_FRAGMENT : PACKET_FIRST_FRAGMENT;
	}
	*length = total - header;
	return CONTINUE;
}

static __always_inline int parse_v6(struct __sk_buff *skb, struct headers *packet, struct ipv6hdr *ip, __u32 *length)
{
	__u32 payload = bpf_ntohs(ip->payload_len), have = skb->len - ETH_HLEN - sizeof(*ip);
	struct extension_walk walk = {};
	int verdict;

	if (ip->version != 6)
		return -DROP_INVALID_PACKET;
	if (!payload && skb->gso_size)
		payload = have;
	if (payload > have)
		return -DROP_INVALID_PACKET;
	__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
	packet->flags |= PACKET_V6;
	packet->hop_limit = ip->hop_limit;
	packet->protocol = ip->nexthdr;
	packet->l4_offset = ETH_HLEN + sizeof(*ip);
	*length = payload;
	/* A v4-mapped address on the wire would be taken for IPv4 everywhere after this. */
	if (addr_is_v4(&packet->source) || addr_is_v4(&packet->destination))
		return -DROP_INVALID_PACKET;
	if (likely(ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP || ip->nexthdr == IPPROTO_ICMPV6))
		return CONTINUE;

	walk.offset = packet->l4_offset;
	walk.end = packet->l4_offset + payload;
	walk.protocol = ip->nexthdr;
	verdict = parse_extensions(skb, &walk);
	if (verdict != CONTINUE)
		return verdict;
	packet->protocol = walk.protocol;
	packet->l4_offset = walk.offset;
	*length = walk.end - walk.offset;
	if (walk.fragment & 0xfff9) {
		packet->fragment_id = walk.fragment_id;
		packet->flags |= walk.fragment & 0xfff8 ? PACKET_LATER_FRAGMENT : PACKET_FIRST_FRAGMENT;
	}
	return CONTINUE;
}

/* Headers into `packet`, which is zero on entry. Frames that are neither IPv4 nor IPv6 are the caller's business. */
__noinline int parse_headers(struct __sk_buff *skb, struct headers *packet)
{
	bool v6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	__u32 header = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr), length = 0;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	int verdict;

	if (!packet || skb->len < ETH_HLEN + header)
		return -DROP_INVALID_PACKET;
	if (unlikely(data + ETH_HLEN + sizeof(struct ipv6hdr) > end)) {
		bpf_skb_pull_data(skb, ETH_HLEN + header);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
	}
	if (v6) {
		if (data + ETH_HLEN + sizeof(struct ipv6hdr) > end)
			return -DROP_INVALID_PACKET;
		verdict = parse_v6(skb, packet, data + ETH_HLEN, &length);
	} else {
		if (data + ETH_HLEN + sizeof(struct iphdr) > end)
			return -DROP_INVALID_PACKET;
		verdict = parse_v4(skb, packet, data + ETH_HLEN, &length);
	}
	if (verdict != CONTINUE)
		return verdict;
	packet->reporter = packet->source;
	if (unlikely(packet->flags & PACKET_LATER_FRAGMENT))
		return parse_later_fragment(packet);
	packet->l4_length = length > 0xffff ? 0xffff : length;
	return parse_transport(skb, packet, length);
}

static __always_inline int parse(struct __sk_buff *skb, struct packet *packet)
{
	return parse_headers(skb, &packet->headers);
}

static __always_inline bool skb_is_ip(const struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
}
