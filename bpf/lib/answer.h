/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A packet becomes its own answer, in place: a TCP reset or an ICMP error, in the name of its destination. Its headers must stand in the
 * frame as they do in `packet`.
 *
 * Never answered (RFC 1122 §3.2.2, RFC 4443 §2.4): resets, ICMP errors, fragments, what came by broadcast or multicast, senders that nobody
 * can be; and headers with options, whose removal would move what an offloaded checksum points at. Only what is too big is told of
 * with options and as a first fragment. An answer to a frame whose checksum is
 * left to the device keeps that mark: harmless towards pods and other virtual devices, and nothing else hands us such a frame.
 *
 * Nobody is made to shout: a reset is no longer than what it answers, a report quotes the least that every stack can match with a socket, 8
 * bytes of transport (20 of SCTP, up to the INIT's tag), and each processor writes a thousand reports a second at most, as Linux does.
 */
#pragma once

#include "translate.h"

#define REPORTS_PER_SECOND 1000
#define ANSWER_HOP_LIMIT 64
#define REPORT_QUOTE      8
#define REPORT_QUOTE_SCTP 20

#define ICMP4_UNREACHABLE       3
#define ICMP4_PORT_UNREACHABLE  3
#define ICMP4_FRAGMENTATION_NEEDED 4
#define ICMP6_UNREACHABLE       1
#define ICMP6_PORT_UNREACHABLE  4
#define ICMP6_PACKET_TOO_BIG    2

struct report_budget {
	__u64 second;
	__u64 reports;		/* written in it */
};
_Static_assert(sizeof(struct report_budget) == 16, "report_budget");

/* Reports write and read, each processor its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct report_budget);
} report_budgets SEC(".maps");

/* A transport header behind what its checksum covers too. IPv4 addresses in 16 bytes add 0xffff, which is nothing in these sums. */
struct answer_pseudo {
	struct addr source;
	struct addr destination;
	__be32 length;
	__be32 protocol;
};

struct answer_segment {
	struct answer_pseudo pseudo;
	struct tcphdr tcp;
};
_Static_assert(sizeof(struct answer_segment) == 60, "answer_segment");

struct answer_report {
	struct answer_pseudo pseudo;
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 rest;
	__u8 quoted[sizeof(struct ipv6hdr) + REPORT_QUOTE_SCTP];
};
_Static_assert(sizeof(struct answer_report) == 108, "answer_report");

static __always_inline __u32 ip_header_length(const struct headers *packet)
{
	return packet_is_v6(packet) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

/* May its sender be told anything about a packet? Options and a fragment header are quoted with it. */
static __always_inline bool report_is_allowed(const struct __sk_buff *skb, const struct headers *packet)
{
	if (packet->flags & (PACKET_ICMP_ERROR | PACKET_UNRELATED | PACKET_LATER_FRAGMENT))
		return false;
	if (skb->pkt_type == PACKET_TYPE_BROADCAST || skb->pkt_type == PACKET_TYPE_MULTICAST)
		return false;
	return !addr_is_martian(&packet->source) && !addr_is_martian(&packet->destination);
}

static __always_inline bool answer_is_allowed(const struct __sk_buff *skb, const struct headers *packet)
{
	if (packet->flags & PACKET_FIRST_FRAGMENT || (packet->protocol == IPPROTO_TCP && packet->tcp_flags & TCP_RST))
		return false;
	return report_is_allowed(skb, packet) && packet->l4_offset == ETH_HLEN + ip_header_length(packet);
}

static __always_inline bool report_within_budget(void)
{
	__u32 zero = 0;
	struct report_budget *budget = bpf_map_lookup_elem(&report_budgets, &zero);
	__u64 second = bpf_ktime_get_coarse_ns() / NANOSECONDS;

	if (!budget)
		return false;
	if (budget->second != second) {
		budget->second = second;
		budget->reports = 0;
	}
	return budget->reports++ < REPORTS_PER_SECOND;
}

/* Everything before the transport header, of a frame that goes back. */
static __noinline int answer_write_head(struct __sk_buff *skb, const struct headers *packet, __u32 length, __u8 protocol)
{
	__u8 macs[2 * ETH_ALEN], turned[2 * ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)) ||
	    bpf_skb_change_tail(skb, ETH_HLEN + ip_header_length(packet) + length, 0))
		return -DROP_WRITE_ERROR;
	__builtin_memcpy(turned, macs + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(turned + ETH_ALEN, macs, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, turned, sizeof(turned), 0))
		return -DROP_WRITE_ERROR;
	if (packet_is_v6(packet)) {
		struct ipv6hdr ip = { .version = 6, .payload_len = bpf_htons(length), .nexthdr = protocol, .hop_limit = ANSWER_HOP_LIMIT };

		__builtin_memcpy(&ip.saddr, &packet->destination, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, &packet->source, sizeof(ip.daddr));
		return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ? -DROP_WRITE_ERROR : CONTINUE;
	} else {
		struct iphdr ip = {
			.version = 4, .ihl = 5, .tot_len = bpf_htons(sizeof(ip) + length), .frag_off = bpf_htons(0x4000), .ttl = ANSWER_HOP_LIMIT,
			.protocol = protocol, .saddr = packet->destination.words[3], .daddr = packet->source.words[3],
		};

		ip.check = checksum_of(&ip, sizeof(ip));
		return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ? -DROP_WRITE_ERROR : CONTINUE;
	}
}

/* RFC 9293 §3.10.7.1, "if the connection does not exist". Not static, as the next one: the verifier walks them once for all hooks. */
__noinline int answer_with_reset(struct __sk_buff *skb, const struct headers *packet)
{
	struct answer_segment answer = {
		.pseudo = { .length = bpf_htonl(sizeof(struct tcphdr)), .protocol = bpf_htonl(IPPROTO_TCP) },
	};
	struct tcphdr asked;
	int verdict;

	if (!packet)
		return -DROP_INVALID_PACKET;
	answer.pseudo.source = packet->destination;
	answer.pseudo.destination = packet->source;
	if (bpf_skb_load_bytes(skb, packet->l4_offset, &asked, sizeof(asked)))
		return -DROP_INVALID_PACKET;
	answer.tcp.source = asked.dest;
	answer.tcp.dest = asked.source;
	answer.tcp.doff = 5;
	answer.tcp.rst = 1;
	if (asked.ack) {
		answer.tcp.seq = asked.ack_seq;
	} else {
		answer.tcp.ack = 1;
		answer.tcp.ack_seq = bpf_htonl(bpf_ntohl(asked.seq) + asked.syn + asked.fin + packet->l4_length - asked.doff * 4);
	}
	answer.tcp.check = checksum_of(&answer, sizeof(answer));
	verdict = answer_write_head(skb, packet, sizeof(answer.tcp), IPPROTO_TCP);
	if (verdict != CONTINUE)
		return verdict;
	return bpf_skb_store_bytes(skb, packet->l4_offset, &answer.tcp, sizeof(answer.tcp), 0) ? -DROP_WRITE_ERROR : CONTINUE;
}

/* `rest` is the second word of the ICMP header: an MTU, or nothing. Over the budget the answer is -DROP_NOISE and the frame as it was. */
__noinline int answer_with_report(struct __sk_buff *skb, const struct headers *packet, __u8 type, __u8 code, __be32 rest)
{
	struct answer_report answer = {};
	__u64 quote;
	int verdict;
	bool v6;

	if (!packet)
		return -DROP_INVALID_PACKET;
	v6 = packet_is_v6(packet);
	if (!report_within_budget())
		return -DROP_NOISE;
	answer.type = type;
	answer.code = code;
	answer.rest = rest;
	quote = packet->protocol == IPPROTO_SCTP && packet->l4_length >= REPORT_QUOTE_SCTP ? REPORT_QUOTE_SCTP : REPORT_QUOTE;
	quote = opaque(quote + packet->l4_offset - ETH_HLEN);
	if (!quote || quote > sizeof(answer.quoted) || bpf_skb_load_bytes(skb, ETH_HLEN, answer.quoted, quote))
		return -DROP_INVALID_PACKET;
	/* ICMPv4 sums itself alone. */
	if (v6) {
		answer.pseudo.source = packet->destination;
		answer.pseudo.destination = packet->source;
		answer.pseudo.length = bpf_htonl(8 + quote);
		answer.pseudo.protocol = bpf_htonl(IPPROTO_ICMPV6);
	}
	/* What is not quoted is zero, and adds nothing. */
	answer.check = checksum_of(&answer, sizeof(answer));
	verdict = answer_write_head(skb, packet, 8 + quote, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	if (verdict != CONTINUE)
		return verdict;
	return bpf_skb_store_bytes(skb, ETH_HLEN + ip_header_length(packet), &answer.type, 8 + quote, 0) ? -DROP_WRITE_ERROR : CONTINUE;
}

