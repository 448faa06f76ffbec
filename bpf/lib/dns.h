/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * DNS messages of pods over UDP, where policy has rules for names (CONNTRACK_ASKS) or names have identities (CONNTRACK_LEARNS).
 *
 *     question ─► read whole? ─► may its name be asked? ─► remembered ─► on, with a payload size that nobody has to cut
 *                    └─ drop        └─ becomes its own answer: REFUSED
 *     answer ─► to what was asked? ─► its addresses become the name's, for this pod ─► on
 *
 * Where there are rules, what cannot be read does not pass. Where names are only learned it passes, and nothing is learned.
 */
#pragma once

#include "answer.h"
#include "name_policy.h"
#include "nat64.h"
#include "tell.h"

#define DNS_ADDRESSES_MAX 256
#define DNS_MESSAGE_MAX   8192	/* of an answer: a power of two; more than any server sends (RFC 6891 §6.2.5) */
#define DNS_PAYLOAD_SIZE  1232	/* fits into the least IPv6 MTU: whoever sends no more is never cut into fragments */
#define DNS_GRACE_S       30	/* an answer may be used until its time is over, and then a connection be opened */
#define DNS_TTL_MAX       604800	/* what resolvers keep at most by default */

#define DNS_CLASS_IN   1
#define DNS_TYPE_A     1
#define DNS_TYPE_AAAA  28
#define DNS_TYPE_OPT   41

#define DNS_HEADER     12
#define DNS_QUESTION   4	/* type and class */
#define DNS_OPT        11	/* of an OPT record: the root's name, type, class, ttl, length */
#define DNS_RECORD     10	/* of a record after its name: type, class, ttl, length */
#define DNS_QUERY_READ (DNS_HEADER + NAME_LENGTH_MAX + DNS_QUESTION + DNS_OPT)

#define DNS_QR     0x8000	/* of the header's second word */
#define DNS_OPCODE 0x7800
#define DNS_TC     0x0200
#define DNS_RD     0x0100
#define DNS_RA     0x0080
#define DNS_RCODE  0x000f

struct dns_header {
	__be16 id;
	__be16 flags;
	__be16 questions;
	__be16 answers;
	__be16 authorities;
	__be16 additionals;
};
_Static_assert(sizeof(struct dns_header) == DNS_HEADER, "dns_header");

struct dns_address {
	struct addr addr;
	__u32 ttl;
};

/*
 * Where messages are read and refusals put together; each processor's own. The three first members are a datagram with what its checksum
 * covers. After the message comes what a read at its last byte reaches.
 */
struct dns_room {
	struct answer_pseudo pseudo;
	struct udphdr udp;
	union {
		struct dns_header header;
		__u8 message[DNS_MESSAGE_MAX + 64];
	};
	struct name_walk walk;
	__u32 records;		/* of the answer section, not read yet */
	__u32 at;
	__u32 found;
	__u32 failed;
	struct name_address_key key;	/* for whom addresses are learned */
	__u32 now_s;
	struct dns_address addresses[DNS_ADDRESSES_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_room);
} dns_rooms SEC(".maps");

static __always_inline struct dns_room *dns_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&dns_rooms, &zero);
}

static __always_inline __u8 dns_byte(const struct dns_room *room, __u32 at)
{
	return room->message[opaque(at & (DNS_MESSAGE_MAX - 1))];
}

static __always_inline __u16 dns_word(const struct dns_room *room, __u32 at)
{
	const __u8 *bytes = &room->message[opaque(at & (DNS_MESSAGE_MAX - 1))];

	return bytes[0] << 8 | bytes[1];
}

/* Reads the datagram's message, at most `most` bytes of it. Its length; 0: none that is whole. */
static __always_inline __u32 dns_load(struct __sk_buff *skb, const struct headers *packet, struct dns_room *room, __u32 most)
{
	__u32 at = packet->l4_offset;
	__u64 size, length;

	if (packet->flags & (PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT) || skb->gso_size)
		return 0;
	if (bpf_skb_load_bytes(skb, at, &room->udp, sizeof(room->udp)))
		return 0;
	length = bpf_ntohs(room->udp.len);
	if (length != packet->l4_length || length < sizeof(room->udp) + DNS_HEADER)
		return 0;
	length -= sizeof(room->udp);
	size = opaque(length < most ? length : most);
	if (!payload_own(skb, at + sizeof(room->udp) + size))
		return 0;
	if (!size || size > DNS_MESSAGE_MAX || bpf_skb_load_bytes(skb, at + sizeof(room->udp), room->message, size))
		return 0;
	return length;
}

struct dns_reading {
	struct dns_room *room;
	void *automaton;
};

#define DNS_NAME_STRIDE 8	/* bytes at a time: what is known between two is written down only so often */

/* The next bytes of the question's name. 1: its end was among them, or it has none. */
static long dns_name_step(__u32 index, struct dns_reading *reading)
{
	struct dns_room *room = reading->room;
	struct name_walk *walk = &room->walk;
	__u32 left = walk->left, state = walk->state, hash = walk->hash, read = index * DNS_NAME_STRIDE;

	for (int i = 0; i < DNS_NAME_STRIDE; i++, read++) {
		__u64 byte = dns_byte(room, DNS_HEADER + read);
		__u64 column = opaque(left ? name_columns[byte] : NAME_COLUMN_END);
		const struct name_state *row;
		bool ends = !left && !byte;

		if (read >= NAME_LENGTH_MAX || DNS_HEADER + read >= walk->end || (!left && byte > LABEL_LENGTH_MAX))
			return 1;
		hash = name_hash(hash, name_fold(byte));
		if (state && (left || read)) {
			row = bpf_map_lookup_elem(reading->automaton, &state);
			state = row && column < NAME_COLUMNS ? row->next[column] : 0;
		}
		left = left ? left - 1 : byte;
		if (ends) {
			walk->at = DNS_HEADER + read + 1;
			break;
		}
	}
	walk->left = left;
	walk->state = state;
	walk->hash = hash;
	return walk->at != 0;
}

/*
 * Reads the question: its name, by the automaton, and type and class. The only one, without a pointer in it. False: there is none such, or
 * no automaton.
 */
__noinline bool dns_read_question(__u32 length)
{
	struct dns_reading reading = { .room = dns_room(), .automaton = name_automaton_now() };
	const struct name_state *row;
	struct name_walk *walk;
	__u32 at, state;

	if (!reading.room || !reading.automaton || reading.room->header.questions != bpf_htons(1))
		return false;
	walk = &reading.room->walk;
	walk->at = 0;
	walk->end = length;
	walk->left = 0;
	walk->hash = NAME_HASH_BASIS;
	walk->state = NAME_STATE_BEGIN;
	bpf_loop((NAME_LENGTH_MAX + DNS_NAME_STRIDE - 1) / DNS_NAME_STRIDE, dns_name_step, &reading, 0);
	at = walk->at;
	if (!at || at + DNS_QUESTION > length)
		return false;
	for (int i = 0; i < DNS_QUESTION; i++)
		walk->hash = name_hash(walk->hash, dns_byte(reading.room, at + i));
	walk->at = at + DNS_QUESTION;
	state = walk->state;
	row = state ? bpf_map_lookup_elem(reading.automaton, &state) : NULL;
	walk->class = row ? row->class : 0;
	walk->identity = row ? row->identity : 0;
	return true;
}

/* The rule that lets the name be asked, or NULL. */
static __always_inline const struct name_rule *dns_rule(__u32 l7, __u32 class)
{
	struct name_rule_key key = { .l7 = l7, .class = class };
	const struct name_rule *rule = class ? bpf_map_lookup_elem(&name_rules, &key) : NULL;

	if (rule)
		return rule;
	key.class = NAME_CLASS_ANY;
	return bpf_map_lookup_elem(&name_rules, &key);
}

/* What the DNS record of this packet says of rules, once it is written (tell.h). */
static __always_inline void dns_note(const struct headers *packet, __u32 rule, __u8 verdict)
{
	struct connection_event *room = packet->tell & TELL_NAMES ? event_room() : NULL;

	if (!room)
		return;
	room->event.rule = rule;
	room->event.verdict = verdict;
}

/* No answer is to be longer than what fits through everywhere: what is cut on the way could not be read here. */
static __always_inline int dns_limit_payload(struct __sk_buff *skb, const struct headers *packet, struct dns_room *room, __u32 length)
{
	__u32 at = room->walk.at, where;
	__be16 old, new = bpf_htons(DNS_PAYLOAD_SIZE);

	if (!room->header.additionals || at + DNS_OPT > length || dns_byte(room, at) || dns_word(room, at + 1) != DNS_TYPE_OPT || dns_word(room, at + 3) <= DNS_PAYLOAD_SIZE)
		return CONTINUE;
	old = bpf_htons(dns_word(room, at + 3));
	where = packet->l4_offset + sizeof(struct udphdr) + at + 3;
	if (bpf_skb_store_bytes(skb, where, &new, sizeof(new), 0))
		return -DROP_WRITE_ERROR;
	/* At an odd place either byte is the other half of its word. */
	if ((at + 3) & 1) {
		old = __builtin_bswap16(old);
		new = __builtin_bswap16(new);
	}
	if (bpf_l4_csum_replace(skb, packet->l4_offset + member_offset(struct udphdr, check), old, new, BPF_F_MARK_MANGLED_0 | sizeof(new)))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

/* A question that its rules must let pass, or from which names are learned; `l7`: the set, 0 where there are no rules. Packet pointers are stale after this. */
__noinline int dns_question(struct __sk_buff *skb, struct headers *packet, __u32 endpoint, __u32 l7)
{
	struct dns_room *room = dns_room();
	const struct name_rule *rule;
	struct name_asker asker = { .endpoint = endpoint };
	__u32 length;

	if (!room || !packet)
		return -DROP_INVALID_PACKET;
	if (packet->flags & PACKET_ICMP_ERROR)
		return CONTINUE;
	length = dns_load(skb, packet, room, DNS_QUERY_READ);
	if (!length || room->header.flags & bpf_htons(DNS_QR | DNS_OPCODE) || room->header.answers || room->header.authorities || !dns_read_question(length))
		return !l7 ? CONTINUE : name_automaton_now() ? -DROP_NAME_MALFORMED : -DROP_POLICY_NOT_READY;
	if (l7) {
		rule = dns_rule(l7, room->walk.class);
		if (!rule)
			return -DROP_NAME_REFUSED;
		dns_note(packet, rule->rule, VERDICT_ALLOW);
	} else if (!room->walk.identity) {
		return CONTINUE;
	}
	asker.port = packet->source_port;
	asker.id = room->header.id;
	asker.hash = room->walk.hash;
	if (!name_ask(&asker))
		return -DROP_NAMES_FULL;
	return dns_limit_payload(skb, packet, room, length);
}

/* One step through the answer section: a label of a record's name, or what follows its name. 1: no more. */
static long dns_answer_step(__u32 index, void *context)
{
	struct dns_room *room = dns_room();
	__u32 at, end, type, size, found;
	struct dns_address *into;
	__u8 byte;

	if (!room || !room->records)
		return 1;
	at = room->at;
	end = room->walk.end;
	room->failed = 1;
	if (at >= end)
		return 1;
	byte = dns_byte(room, at);
	if (byte && byte < 0xc0) {
		if (byte > LABEL_LENGTH_MAX)
			return 1;
		room->at = at + 1 + byte;
		room->failed = 0;
		return 0;
	}
	at += byte ? 2 : 1;
	if (at + DNS_RECORD > end)
		return 1;
	type = dns_word(room, at);
	size = dns_word(room, at + 8);
	if (at + DNS_RECORD + size > end)
		return 1;
	room->at = at + DNS_RECORD + size;
	room->records--;
	if ((type == DNS_TYPE_A || type == DNS_TYPE_AAAA) && dns_word(room, at + 2) == DNS_CLASS_IN) {
		const __u8 *from = &room->message[opaque((at + DNS_RECORD) & (DNS_MESSAGE_MAX - 1))];
		__u32 ttl = (__u32)dns_word(room, at + 4) << 16 | dns_word(room, at + 6);

		found = room->found;
		if (size != (type == DNS_TYPE_A ? 4 : 16) || found >= DNS_ADDRESSES_MAX)
			return 1;
		into = &room->addresses[opaque(found) & (DNS_ADDRESSES_MAX - 1)];
		if (type == DNS_TYPE_A) {
			__be32 v4;

			__builtin_memcpy(&v4, from, sizeof(v4));
			into->addr = addr_from_v4(v4);
		} else {
			__builtin_memcpy(&into->addr, from, sizeof(into->addr));
		}
		/* RFC 2181 §8: the highest bit means 0. */
		into->ttl = ttl >> 31 ? 0 : ttl;
		room->found = found + 1;
	}
	room->failed = 0;
	return 0;
}

/* Learns one of the addresses. 1: it could not be. */
static long dns_learn_step(__u32 index, void *context)
{
	struct dns_room *room = dns_room();
	const struct dns_address *from;
	__u32 ttl;

	if (!room)
		return 1;
	from = &room->addresses[opaque(index) & (DNS_ADDRESSES_MAX - 1)];
	ttl = from->ttl > config.dns_min_ttl ? from->ttl : config.dns_min_ttl;
	if (ttl > DNS_TTL_MAX)
		ttl = DNS_TTL_MAX;
	room->key.addr = from->addr;
	room->failed = !name_learn(&room->key, room->walk.identity, room->now_s + ttl + DNS_GRACE_S, room->now_s);
	return room->failed;
}

/* The addresses of an answer that lies in the room and was asked for. What is truncated is read as far as it goes. */
static __always_inline int dns_learn(struct dns_room *room, __u32 endpoint)
{
	room->records = bpf_ntohs(room->header.answers);
	room->at = room->walk.at;
	room->found = 0;
	room->failed = 0;
	if (room->records > DNS_ADDRESSES_MAX)
		return -DROP_NAME_UNREADABLE;
	bpf_loop(DNS_MESSAGE_MAX, dns_answer_step, NULL, 0);
	if ((room->failed || room->records) && !(room->header.flags & bpf_htons(DNS_TC)))
		return -DROP_NAME_UNREADABLE;
	room->failed = 0;
	room->key.endpoint = endpoint;
	room->now_s = name_now_s();
	bpf_loop(room->found, dns_learn_step, NULL, 0);
	return room->failed ? -DROP_NAMES_FULL : CONTINUE;
}

/* An error that repeats no question, as old servers answer to what they do not know. */
static __always_inline bool dns_is_bare_error(const struct dns_header *header)
{
	return !header->questions && !header->answers && header->flags & bpf_htons(DNS_RCODE);
}

/* An answer to a pod: what it says of names that have an identity is learned before the pod has it. */
__noinline int dns_answer(struct __sk_buff *skb, struct headers *packet, __u32 endpoint)
{
	struct dns_room *room = dns_room();
	struct name_asker asker = { .endpoint = endpoint };
	bool rules, asked = false;
	__u32 length;

	if (!room || !packet)
		return -DROP_INVALID_PACKET;
	if (packet->flags & PACKET_ICMP_ERROR)
		return CONTINUE;
	rules = packet->ct_flags & CONNTRACK_ASKS;
	length = dns_load(skb, packet, room, DNS_MESSAGE_MAX);
	if (!length || !(room->header.flags & bpf_htons(DNS_QR)) || room->header.flags & bpf_htons(DNS_OPCODE))
		return rules ? -DROP_NAME_UNREADABLE : CONTINUE;
	asker.port = packet->destination_port;
	asker.id = room->header.id;
	if (dns_is_bare_error(&room->header))
		return !rules || name_asked(&asker, false) ? CONTINUE : -DROP_NAME_UNASKED;
	if (dns_read_question(length)) {
		asker.hash = room->walk.hash;
		asked = name_asked(&asker, true);
	}
	if (!asked)
		return rules ? -DROP_NAME_UNASKED : CONTINUE;
	if (!room->walk.identity)
		return CONTINUE;
	if (length > DNS_MESSAGE_MAX)
		return -DROP_NAME_UNREADABLE;
	room->walk.end = length;
	return dns_learn(room, endpoint);
}

/* Whose answer it must look like: what the pod has written its question to. */
static __always_inline int dns_ends(struct __sk_buff *skb, struct headers *packet, struct dns_room *room)
{
	const struct service_address *address = packet->service ? service_address_find(packet->service) : NULL;

	if (packet->flags & PACKET_OTHER_FAMILY) {
		/* The frame is as the pod has written it. */
		if (frame_addresses(skb, packet_is_v6(packet), &packet->ends))
			return -DROP_INVALID_PACKET;
		packet->destination_port = room->udp.dest;
	} else if (packet->service) {
		if (!address)
			return -DROP_NO_SERVICE_BACKEND;
		packet->destination = address->addr;
		packet->destination_port = address->port;
	}
	return CONTINUE;
}

/*
 * A question that no rule lets pass becomes its own answer: the question, and REFUSED. CONTINUE where that stands in `skb`, to be sent back the
 * way it came: then the drop has been counted and told. Else the drop. Called after dns_question(), whose room it reads.
 */
__noinline int dns_refuse(struct __sk_buff *skb, struct headers *packet)
{
	struct dns_room *room = dns_room();
	__u32 asked = skb->len;
	__u64 length, padded;
	int verdict;

	if (!room || !packet || !answer_is_allowed(skb, packet))
		return -DROP_NAME_REFUSED;
	if (packet->tell & TELL_NAMES) {
		dns_note(packet, packet->rule, VERDICT_DENY);
		packet->tell = TELL_NAMES | TELL_ROOM;
		tell(skb, packet, HOOK_FROM_POD, POINT_FROM_ENDPOINT);
	}
	packet->tell = 0;
	verdict = dns_ends(skb, packet, room);
	if (verdict != CONTINUE)
		return verdict;
	length = opaque(room->walk.at);
	if (length < DNS_HEADER || length > DNS_QUERY_READ)
		return -DROP_NAME_REFUSED;
	room->header.flags = bpf_htons(DNS_QR | DNS_RA | (config.dns_rcode & DNS_RCODE)) | (room->header.flags & bpf_htons(DNS_RD));
	room->header.answers = 0;
	room->header.authorities = 0;
	room->header.additionals = 0;
	__builtin_memset(&room->message[length], 0, 4);
	length += sizeof(room->udp);
	room->udp.source = packet->destination_port;
	room->udp.dest = packet->source_port;
	room->udp.len = bpf_htons(length);
	room->udp.check = 0;
	room->pseudo.source = packet->destination;
	room->pseudo.destination = packet->source;
	room->pseudo.length = bpf_htonl(length);
	room->pseudo.protocol = bpf_htonl(IPPROTO_UDP);
	padded = opaque((sizeof(room->pseudo) + length + 3) & ~3ULL);
	if (padded > sizeof(room->pseudo) + sizeof(room->udp) + DNS_QUERY_READ + 3)
		return -DROP_NAME_REFUSED;
	room->udp.check = checksum_of(&room->pseudo, padded);
	if (!room->udp.check)
		room->udp.check = 0xffff;
	verdict = answer_write_head(skb, packet, length, IPPROTO_UDP);
	if (verdict != CONTINUE)
		return verdict;
	length = opaque(length);
	if (length < sizeof(room->udp) || length > sizeof(room->udp) + DNS_QUERY_READ)
		return -DROP_NAME_REFUSED;
	if (bpf_skb_store_bytes(skb, packet->l4_offset, &room->udp, length, 0))
		return -DROP_WRITE_ERROR;
	metrics_count(DROP_NAME_REFUSED, packet->direction, asked);
	return CONTINUE;
}
