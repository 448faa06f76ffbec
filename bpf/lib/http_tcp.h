/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Segments of connections whose HTTP is read: taken apart, given the other end's numbers, cut, and compared with what has passed. */
#pragma once

#include "answer.h"
#include "http_connection.h"
#include "rewrite.h"

#define TCP_OPTIONS_MAX   40
#define TCP_OPTION_END    0
#define TCP_OPTION_NOP    1
#define TCP_OPTION_SCALE  3
#define TCP_OPTION_SACK   5
#define TCP_OPTION_TIMES  8
#define TCP_OPTION_MPTCP  30
#define TCP_NOPS          0x01010101
#define HTTP_OWN_OPTIONS  12	/* timestamps, or as many that say nothing */
#define HTTP_OWN_MAX      256

/* So many bytes of a segment become its own at once, before they are read: most segments as a whole. */
#define HTTP_OWNED 2048

/* The longest segment has 64 KiB, and no byte makes a reader stop more than twice. */
#define HTTP_STEPS (2 * 65536)

struct tcp_segment {
	__u32 seq;
	__u32 ack;
	__u32 length;		/* of the payload */
	__u32 l4;		/* offsets in the frame */
	__u32 payload;
	__be16 window;
	__u8 flags;
	__u8 v6;
	__be32 time_value;	/* of the timestamps; `has_times` */
	__be32 time_echo;
	__u8 has_times;
	__u8 pad[7];
};

/* What becomes of a segment. */
enum http_decision {
	HTTP_PASS = 0,		/* as it is, with the other end's numbers */
	HTTP_READ = 1,		/* not known yet */
	HTTP_TAKE = 2,		/* it passes, and has been read */
	HTTP_CUT = 3,		/* what is before `keep` passes, the rest comes again */
	HTTP_HOLD = 4,		/* it comes again: something must come first */
	HTTP_DENY = 5,		/* answered in its place */
	HTTP_SWALLOW = 6,	/* of a denied request: acknowledged */
	HTTP_AGAIN = 7,		/* it has been answered or acknowledged, and is so again */
	HTTP_CLOSE = 8,		/* answered, and the connection ends */
	HTTP_BREAK = 9,		/* both are reset: no place is known for the answer that it would get */
	HTTP_CHANGED = 10,	/* the same: other bytes than before */
	HTTP_ENDED = 11,	/* its sender is reset, as the connection is over */
	HTTP_LOST = 12,		/* the set is not there */
	HTTP_UNREADABLE = 13,
	HTTP_IGNORE = 14,	/* behind the end */
	HTTP_CUT_AGAIN = 15,	/* what is before `keep` has been compared and passes once more, the rest comes again */
};

/* How far reading a segment has come. Offsets are of its payload. */
struct http_work {
	__u32 begin;		/* what is before has been read with an earlier segment */
	__u32 at;
	__u32 head;		/* where the message that is under way has begun ... */
	__u32 head_is_here;	/* ... if it has in this segment */
	__u32 run;		/* since when bytes are to be remembered ... */
	__u32 run_end;		/* ... and up to where, when they are */
	__u32 ranges;		/* that were known before */
	__u32 keep;
	__u32 decision;		/* enum http_decision; HTTP_READ: go on */
	__u32 kind;		/* enum http_own */
	__u32 asked;
	__u32 fits;		/* the last end of a message that is within one packet of a segment that is to be cut into several ... */
	__u32 fits_asked;	/* ... and `asked` there */
	__u32 phase;		/* enum http_phase */
	__u32 seen;		/* `seen_ns` has been written */
	__u32 pad;
};

struct http_answer_segment {
	struct answer_pseudo pseudo;
	__u8 tcp[20];		/* a struct tcphdr, whose bit-fields nobody describes to user space */
	__u8 options[HTTP_OWN_OPTIONS];
	__u8 payload[HTTP_OWN_MAX];
};
_Static_assert(sizeof(struct http_answer_segment) == 328, "http_answer_segment");

/* What of the reader, as it was before a segment, is kept. */
enum http_kept {
	HTTP_KEPT_NOTHING = 0,	/* it is at the beginning of a message */
	HTTP_KEPT_BODY = 1,
	HTTP_KEPT_ALL = 2,
};

/* Each processor's own: programs at devices are not interrupted by others of their kind. */
struct http_room {
	struct headers headers;
	struct tcp_segment segment;
	struct http_work work;
	struct http_chunk chunk;
	struct http_answer_segment own;
	struct http_reader before;	/* the reader, as it was before a segment that may have to come again */
	__u32 before_is_kept;	/* enum http_kept */
	__u32 before_in_head;
	__u32 ifindex;		/* the host side of the pod's device */
	__u32 is_here;		/* http_to_pod has been jumped to: not at that device */
	__u32 loaded_at;	/* what of the frame is in `chunk` ... */
	__u32 loaded;		/* ... and how much; 0: nothing that is known */
	/* Twice as long as they can be: the verifier adds a place and a length. */
	__u64 options[2 * TCP_OPTIONS_MAX / 8];
	__u64 blanked[2 * TCP_OPTIONS_MAX / 8];
};

static __always_inline __u8 *http_options(struct http_room *room)
{
	return (__u8 *)room->options;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_room);
} http_rooms SEC(".maps");

static __always_inline struct http_room *http_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&http_rooms, &zero);
}

static __always_inline bool http_parse_v4(struct __sk_buff *skb, const struct iphdr *ip, struct headers *headers, __u32 *left)
{
	if (*(const __u8 *)ip != 0x45 || ip->protocol != IPPROTO_TCP || ip->frag_off & bpf_htons(0x3fff))
		return false;
	headers->source = addr_from_v4(ip->saddr);
	headers->destination = addr_from_v4(ip->daddr);
	headers->hop_limit = ip->ttl;
	*left = bpf_ntohs(ip->tot_len);
	/* Segments above 64 kB carry 0: the length is the buffer's. */
	if (!*left && skb->gso_size)
		*left = skb->len - ETH_HLEN;
	*left -= sizeof(*ip);
	return true;
}

static __always_inline bool http_parse_v6(struct __sk_buff *skb, const struct ipv6hdr *ip, struct headers *headers, __u32 *left)
{
	if (*(const __u8 *)ip >> 4 != 6 || ip->nexthdr != IPPROTO_TCP)
		return false;
	__builtin_memcpy(&headers->source, &ip->saddr, sizeof(headers->source));
	__builtin_memcpy(&headers->destination, &ip->daddr, sizeof(headers->destination));
	headers->flags = PACKET_V6;
	headers->hop_limit = ip->hop_limit;
	*left = bpf_ntohs(ip->payload_len);
	if (!*left && skb->gso_size)
		*left = skb->len - ETH_HLEN - sizeof(*ip);
	return true;
}

static __always_inline bool http_parse_family(struct __sk_buff *skb, struct http_room *room, const bool v6)
{
	const __u32 l4 = ETH_HLEN + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)), size = l4 + sizeof(struct tcphdr);
	struct tcp_segment *segment = &room->segment;
	struct headers *headers = &room->headers;
	void *data = (void *)(long)skb->data;
	const struct tcphdr *tcp;
	__u32 left, length;

	if (unlikely(data + size > (void *)(long)skb->data_end)) {
		if (bpf_skb_pull_data(skb, size))
			return false;
		data = (void *)(long)skb->data;
		if (data + size > (void *)(long)skb->data_end)
			return false;
	}
	if (v6 ? !http_parse_v6(skb, data + ETH_HLEN, headers, &left) : !http_parse_v4(skb, data + ETH_HLEN, headers, &left))
		return false;
	tcp = data + l4;
	length = tcp->doff * 4;
	if (left > skb->len - l4 || left < sizeof(*tcp) || length < sizeof(*tcp) || length > left)
		return false;
	headers->reporter = headers->source;
	headers->protocol = IPPROTO_TCP;
	headers->source_port = tcp->source;
	headers->destination_port = tcp->dest;
	headers->l4_offset = l4;
	headers->l4_length = left;
	segment->flags = headers->tcp_flags = ((const __u8 *)tcp)[13];
	segment->seq = bpf_ntohl(tcp->seq);
	segment->ack = bpf_ntohl(tcp->ack_seq);
	segment->window = tcp->window;
	segment->v6 = v6;
	segment->l4 = l4;
	segment->payload = l4 + length;
	segment->length = left - length;
	room->loaded = 0;
	return true;
}

/* A TCP segment without options in its IP header: what else there may be of such a connection is not taken apart. */
static __always_inline bool http_parse(struct __sk_buff *skb, struct http_room *room)
{
	/* What a drop tells where nothing could be read. */
	__builtin_memset(&room->headers, 0, sizeof(room->headers));
	if (likely(skb->protocol == bpf_htons(ETH_P_IP)))
		return http_parse_family(skb, room, false);
	return skb->protocol == bpf_htons(ETH_P_IPV6) && http_parse_family(skb, room, true);
}

static __always_inline __u64 http_options_length(const struct tcp_segment *segment)
{
	return opaque(segment->payload - segment->l4 - sizeof(struct tcphdr));
}

/* Leaves the options in `room`, and says where the first of a kind begins there; TCP_OPTIONS_MAX: there is none that is whole. */
__noinline int http_option_find(struct __sk_buff *skb, struct http_room *room, __u32 kind)
{
	__u64 length, at = 0;

	if (!room)
		return TCP_OPTIONS_MAX;
	length = http_options_length(&room->segment);
	__builtin_memset(room->options, TCP_OPTION_END, sizeof(room->options));
	if (!length || length > TCP_OPTIONS_MAX || bpf_skb_load_bytes(skb, room->segment.l4 + sizeof(struct tcphdr), room->options, length))
		return TCP_OPTIONS_MAX;
	for (int i = 0; i < TCP_OPTIONS_MAX; i++) {
		__u8 option, size;

		at = opaque(at);
		if (at >= TCP_OPTIONS_MAX)
			return TCP_OPTIONS_MAX;
		option = http_options(room)[at];
		size = http_options(room)[at + 1];
		if (option == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (option == TCP_OPTION_END || size < 2 || at + size > length)
			return TCP_OPTIONS_MAX;
		if (option == kind)
			return at;
		at += size;
	}
	return TCP_OPTIONS_MAX;
}

static __always_inline void http_times_read(struct __sk_buff *skb, struct http_room *room)
{
	__u64 at = opaque(http_option_find(skb, room, TCP_OPTION_TIMES));

	room->segment.has_times = at < TCP_OPTIONS_MAX && http_options(room)[at + 1] == 10;
	if (!room->segment.has_times)
		return;
	__builtin_memcpy(&room->segment.time_value, http_options(room) + at + 2, 4);
	__builtin_memcpy(&room->segment.time_echo, http_options(room) + at + 6, 4);
}

/* By how many bits the windows of this SYN's sender will be shifted. */
static __always_inline __u32 http_scale_read(struct __sk_buff *skb, struct http_room *room)
{
	__u64 at = opaque(http_option_find(skb, room, TCP_OPTION_SCALE));

	return at < TCP_OPTIONS_MAX && http_options(room)[at + 1] == 3 ? http_options(room)[at + 2] & 15 : 0;
}

/* Options of a kind become ones that say nothing. */
__noinline int http_option_blank(struct __sk_buff *skb, struct http_room *room, __u32 kind)
{
	__u64 at, size, length;
	__u32 difference;

	if (!room)
		return 0;
	at = opaque(http_option_find(skb, room, kind));
	if (at >= TCP_OPTIONS_MAX)
		return 0;
	size = http_options(room)[at + 1];
	length = http_options_length(&room->segment);
	__builtin_memcpy(room->blanked, room->options, sizeof(room->blanked));
	for (int i = 0; i < TCP_OPTIONS_MAX && i < size; i++)
		((volatile __u8 *)room->blanked)[at + i] = TCP_OPTION_NOP;
	difference = bpf_csum_diff((__be32 *)room->options, TCP_OPTIONS_MAX, (__be32 *)room->blanked, TCP_OPTIONS_MAX, 0);
	bpf_l4_csum_replace(skb, room->segment.l4 + member_offset(struct tcphdr, check), 0, difference, 0);
	if (!length || length > TCP_OPTIONS_MAX)
		return 0;
	return bpf_skb_store_bytes(skb, room->segment.l4 + sizeof(struct tcphdr), room->blanked, length, 0);
}

/* Before `length` bytes of the payload are read, or compared with what was read before: payload_own(). */
static __always_inline bool http_owned(struct __sk_buff *skb, const struct http_room *room, __u32 at, __u32 length)
{
	return payload_own(skb, room->segment.payload + at + length);
}

static __always_inline bool http_load(struct __sk_buff *skb, struct http_room *room, __u32 offset, __u64 length)
{
	length = opaque(length);
	room->loaded = 0;
	if (!length || length > HTTP_CHUNK || bpf_skb_load_bytes(skb, offset, room->chunk.bytes, length))
		return false;
	room->loaded_at = offset;
	room->loaded = length;
	return true;
}

struct http_sum {
	struct __sk_buff *skb;
	struct http_room *room;
	__u64 sum;
	__u32 offset;
	__u32 left;
};

static long http_sum_step(__u32 index, struct http_sum *sum)
{
	__u32 length = sum->left < HTTP_CHUNK ? sum->left : HTTP_CHUNK;

	__builtin_memset(sum->room->chunk.bytes, 0, HTTP_CHUNK);
	if (!http_load(sum->skb, sum->room, sum->offset, length))
		return 1;
	sum->sum += (__u32)bpf_csum_diff(NULL, 0, (__be32 *)sum->room->chunk.bytes, HTTP_CHUNK, 0);
	sum->offset += length;
	sum->left -= length;
	return 0;
}

struct http_hash {
	struct __sk_buff *skb;
	struct http_room *room;
	__u64 v[4];
	__u32 offset;
	__u32 left;
};

#define rotated(value, bits) ((value) << (bits) | (value) >> (64 - (bits)))

static __always_inline void http_hash_round(__u64 *v)
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] = rotated(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] = rotated(v[2], 32);
}

/* The first bytes of the chunk, with zeros behind them up to a whole word. */
static __always_inline void http_hash_chunk(struct http_hash *hash, __u32 length)
{
	const __u64 *words = (const __u64 *)hash->room->chunk.bytes;
	__u64 v[4] = { hash->v[0], hash->v[1], hash->v[2], hash->v[3] };

	for (int i = 0; i < HTTP_CHUNK / 8 && 8 * i < length; i++) {
		__u64 word = words[i];

		if (length - 8 * i < 8)
			word &= (1ULL << (8 * (length & 7))) - 1;
		v[3] ^= word;
		http_hash_round(v);
		v[0] ^= word;
	}
	hash->v[0] = v[0];
	hash->v[1] = v[1];
	hash->v[2] = v[2];
	hash->v[3] = v[3];
}

static long http_hash_step(__u32 index, struct http_hash *hash)
{
	__u32 length = hash->left < HTTP_CHUNK ? hash->left : HTTP_CHUNK;

	if (!http_load(hash->skb, hash->room, hash->offset, length))
		return 1;
	http_hash_chunk(hash, length);
	hash->offset += length;
	hash->left -= length;
	return !hash->left;
}

/* SipHash-1-3 of bytes of the frame, with their number in the place of its last word: whoever does not know the secret finds no others. Not static: the verifier walks it once. */
__noinline __u64 http_hash(struct __sk_buff *skb, struct http_room *room, const struct http_connection *row, __u32 offset, __u32 length)
{
	struct http_hash hash = { .skb = skb, .room = room, .offset = offset, .left = length };

	if (!room || !row)
		return 0;
	hash.v[0] = row->secret[0] ^ 0x736f6d6570736575ULL;
	hash.v[1] = row->secret[1] ^ 0x646f72616e646f6dULL;
	hash.v[2] = row->secret[0] ^ 0x6c7967656e657261ULL;
	hash.v[3] = row->secret[1] ^ 0x7465646279746573ULL;
	/* A head that came in one piece has just been read from there. */
	if (likely(room->loaded == length && room->loaded_at == offset && length <= HTTP_CHUNK))
		http_hash_chunk(&hash, length);
	else
		bpf_loop(HTTP_STEPS, http_hash_step, &hash, 0);
	hash.v[3] ^= length;
	http_hash_round(hash.v);
	hash.v[0] ^= length;
	hash.v[2] ^= 0xff;
	http_hash_round(hash.v);
	http_hash_round(hash.v);
	http_hash_round(hash.v);
	return hash.v[0] ^ hash.v[1] ^ hash.v[2] ^ hash.v[3];
}

/* A frame that a device has summed up is one that nobody has summed up, after this. */
static __always_inline bool http_resize(struct __sk_buff *skb, __u32 length, enum checksum_state state)
{
	if (bpf_skb_change_tail(skb, length, 0))
		return false;
	return state != CHECKSUM_HELPERS || (!bpf_skb_change_tail(skb, length + 4, 0) && !bpf_skb_change_tail(skb, length, 0));
}

static __always_inline bool http_length_write(struct __sk_buff *skb, const struct tcp_segment *segment, __u32 l4_length)
{
	__be16 length = bpf_htons(segment->v6 ? l4_length : l4_length + sizeof(struct iphdr)), before;

	if (segment->v6)
		return !bpf_skb_store_bytes(skb, ETH_HLEN + member_offset(struct ipv6hdr, payload_len), &length, sizeof(length), 0);
	if (bpf_skb_load_bytes(skb, ETH_HLEN + member_offset(struct iphdr, tot_len), &before, sizeof(before)))
		return false;
	return !bpf_l3_csum_replace(skb, ETH_HLEN + member_offset(struct iphdr, check), before, length, sizeof(length)) &&
	       !bpf_skb_store_bytes(skb, ETH_HLEN + member_offset(struct iphdr, tot_len), &length, sizeof(length), 0);
}

/* Leaves the first `keep` bytes of the payload, under other flags. */
__noinline int http_cut(struct __sk_buff *skb, struct http_room *room, __u32 keep, __u8 flags)
{
	enum checksum_state state = checksum_state_of(skb);
	struct answer_pseudo pseudo = { .protocol = bpf_htonl(IPPROTO_TCP) };
	struct http_sum sum = { .skb = skb, .room = room };
	struct tcp_segment *segment;
	__u16 check = 0;
	__u32 length;

	if (!room)
		return 0;
	segment = &room->segment;
	length = segment->payload - segment->l4 + keep;
	if (!http_resize(skb, segment->l4 + length, state) || !http_length_write(skb, segment, length) ||
	    bpf_skb_store_bytes(skb, segment->l4 + 13, &flags, sizeof(flags), 0) ||
	    bpf_skb_store_bytes(skb, segment->l4 + member_offset(struct tcphdr, check), &check, sizeof(check), 0))
		return 0;
	pseudo.source = room->headers.source;
	pseudo.destination = room->headers.destination;
	pseudo.length = bpf_htonl(length);
	sum.sum = (__u32)bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	if (state != CHECKSUM_PSEUDO) {
		sum.offset = segment->l4;
		sum.left = length;
		bpf_loop(HTTP_STEPS, http_sum_step, &sum, 0);
	}
	check = state == CHECKSUM_PSEUDO ? sum_fold(sum.sum) : (__u16)~sum_fold(sum.sum);
	if (bpf_skb_store_bytes(skb, segment->l4 + member_offset(struct tcphdr, check), &check, sizeof(check), 0))
		return 0;
	segment->flags = flags;
	segment->length = keep;
	return 1;
}

/* A drop, counted; and told, where it is no matter of order. */
static __always_inline int http_drop(struct __sk_buff *skb, const struct http_connection *row, struct http_room *room, __u32 reason, bool to_pod)
{
	struct headers *headers = &room->headers;

	metrics_count(reason, to_pod ? DIRECTION_INGRESS : DIRECTION_EGRESS, skb->len);
	if (reason == DROP_HTTP_HELD) {
		struct http_counts *counts = http_counts_own();

		if (counts)
			counts->held++;
		return TC_ACT_SHOT;
	}
	headers->direction = to_pod ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	headers->ct_state = to_pod ? STATE_ESTABLISHED : STATE_REPLY;
	if (!row) {
		drop_write(skb, headers, reason, 0, 0);
		return TC_ACT_SHOT;
	}
	headers->source_identity = to_pod ? row->source_identity : row->destination_identity;
	headers->destination_identity = to_pod ? row->destination_identity : row->source_identity;
	headers->rule = row->rule;
	headers->service = row->service;
	drop_write(skb, headers, reason, to_pod ? row->source_endpoint : row->destination_endpoint, to_pod ? row->destination_endpoint : row->source_endpoint);
	return TC_ACT_SHOT;
}
