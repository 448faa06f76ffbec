/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * DNS names. A pod's question is read on its way out: an automaton made of all names and patterns that policies use says which of them
 * the name matches; then it may be asked, or is refused in place. The answer is read on its way in: its addresses belong to the name's
 * identity before the pod has them. Nobody in user space is asked.
 */
#pragma once

#include "addr.h"

#define NAME_COLUMNS 40		/* a–z 0–25, 0–9 26–35, '-' 36, '_' 37, the end of a label 38, any other byte 39 */
#define NAME_COLUMN_END   38
#define NAME_COLUMN_OTHER 39
#define NAME_STATE_BEGIN  1

/* State 0 refuses for ever, state 1 is the beginning. Read from the first label on; each label is followed by column 38. */
struct name_state {
	__u16 next[NAME_COLUMNS];
	__u32 class;		/* of a name that ends here: which patterns match it; 0 = none */
	__u32 identity;		/* of the addresses of such a name: which toFQDNs match it; 0 = none */
};
_Static_assert(sizeof(struct name_state) == 88, "name_state");

struct name_states {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct name_state);
};

/* The agent writes: a new automaton takes the place of the old one as a whole. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct name_states);
} name_automaton SEC(".maps");

static __always_inline void *name_automaton_now(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&name_automaton, &zero);
}

#define NAME_CLASS_ANY 0xffffffff	/* every name may be asked */

struct name_rule_key {
	__u32 l7;		/* the layer 7 set of the verdict's row */
	__u32 class;		/* of the name, or NAME_CLASS_ANY */
};
_Static_assert(sizeof(struct name_rule_key) == 8, "name_rule_key");

struct name_rule {
	__u32 rule;
};
_Static_assert(sizeof(struct name_rule) == 4, "name_rule");

/* The agent writes: which names may be asked under which set. Rows stand before a verdict's row names the set. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct name_rule_key);
	__type(value, struct name_rule);
} name_rules SEC(".maps");

#define NAME_SLOTS 8		/* identities of one address at a time; the agent joins them before there are more */

struct name_address_key {
	__u32 endpoint;		/* local id of the pod that was told: what one pod was told is nothing to another */
	struct addr addr;
};
_Static_assert(sizeof(struct name_address_key) == 20, "name_address_key");

struct name_slot {
	__u32 identity;		/* 0 = free */
	__u32 expires_s;	/* CLOCK_MONOTONIC */
};

struct name_address {
	struct name_slot slots[NAME_SLOTS];
	__u32 place;		/* in the pod's ring: who finds the address at another one leaves the row alone */
	__u32 pad;
};
_Static_assert(sizeof(struct name_address) == 72, "name_address");

#define NAME_ADDRESSES_OF_POD 2048	/* living and dead: a power of two */

/*
 * Packets write, packets and the agent read; the agent and the proxy write by name_put() alone, and the agent deletes. Room for 256 pods that
 * take all they may. No LRU: it would let one pod push out what the others have learned.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256 * NAME_ADDRESSES_OF_POD);
	__type(key, struct name_address_key);
	__type(value, struct name_address);
} name_addresses SEC(".maps");

struct name_ring_key {
	__u32 endpoint;
	__u32 place;		/* below NAME_ADDRESSES_OF_POD */
};
_Static_assert(sizeof(struct name_ring_key) == 8, "name_ring_key");

/* Whoever learns an address writes: which addresses of name_addresses a pod has. One more takes the place, and the row, of one of its own. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256 * NAME_ADDRESSES_OF_POD);
	__type(key, struct name_ring_key);
	__type(value, struct addr);
} name_rings SEC(".maps");

struct name_head {
	__u32 next;		/* counts up; modulo NAME_ADDRESSES_OF_POD the place that is the next one's */
};
_Static_assert(sizeof(struct name_head) == 4, "name_head");

/* As name_rings; one row for each pod that has been told an address of a name. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct name_head);
} name_heads SEC(".maps");

#define NAME_TRIES 8	/* each is lost to another processor that writes at the same place at the same time */

/* One comparison and exchange for both words: who comes second sees what the first has written. */
static __always_inline bool name_slot_exchange(struct name_slot *slot, __u64 before, __u64 after)
{
	return __sync_val_compare_and_swap((__u64 *)slot, before, after) == before;
}

static __always_inline __u64 name_slot_word(const struct name_slot *slot)
{
	return *(const volatile __u64 *)slot;
}

static __always_inline __u64 name_slot_of(__u32 identity, __u32 expires_s)
{
	return identity | (__u64)expires_s << 32;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a slot as one word: the identity is taken to be its low half"
#endif

/*
 * One try to have the identity in a slot: its own, else one that is free or over, else the one that is over first. False where another processor
 * was quicker. A refreshed identity never gets shorter. Not static, as all that is tried again: the verifier walks it once.
 */
__noinline bool name_slot_take(struct name_address *row, __u32 identity, __u32 expires_s, __u32 now_s)
{
	struct name_slot *chosen;
	__u32 least = 0xffffffff;
	__u64 seen;

	if (!row)
		return false;
	chosen = &row->slots[0];
	seen = name_slot_word(chosen);
	for (int i = 0; i < NAME_SLOTS; i++) {
		__u64 word = name_slot_word(&row->slots[i]);
		__u32 expires = (__u32)word && word >> 32 >= now_s ? word >> 32 : 0;

		if ((__u32)word != identity && expires >= least)
			continue;
		least = expires;
		chosen = &row->slots[i];
		seen = word;
		if ((__u32)word == identity)
			break;
	}
	return ((__u32)seen == identity && seen >> 32 >= expires_s) || name_slot_exchange(chosen, seen, name_slot_of(identity, expires_s));
}

/* Makes room for one more address of a pod, and says where: at the limit, the one that was learned first goes. Negative: no room. */
static __always_inline int name_ring_take(const struct name_address_key *key)
{
	struct name_head *head = bpf_map_lookup_elem(&name_heads, &key->endpoint), none = {};
	struct name_ring_key place = { .endpoint = key->endpoint };
	struct name_address_key old = { .endpoint = key->endpoint };
	const struct name_address *row;
	const struct addr *addr;

	if (!head) {
		bpf_map_update_elem(&name_heads, &key->endpoint, &none, BPF_NOEXIST);
		head = bpf_map_lookup_elem(&name_heads, &key->endpoint);
		if (!head)
			return -1;
	}
	place.place = __sync_fetch_and_add(&head->next, 1) % NAME_ADDRESSES_OF_POD;
	addr = bpf_map_lookup_elem(&name_rings, &place);
	if (addr) {
		old.addr = *addr;
		row = bpf_map_lookup_elem(&name_addresses, &old);
		if (row && row->place == place.place)
			bpf_map_delete_elem(&name_addresses, &old);
	}
	return bpf_map_update_elem(&name_rings, &place, &key->addr, BPF_ANY) ? -1 : (int)place.place;
}

/* What rows are made of before something is written into them: the stack is small. */
static const __u64 name_nothing[16] = {};

/*
 * From now on, and until then, the address is one of that identity for this pod. False: there was no room, or others were in the way; nothing has
 * been learned. Not static: the verifier walks it once.
 */
__noinline bool name_learn(const struct name_address_key *key, __u32 identity, __u32 expires_s, __u32 now_s)
{
	struct name_address *row;

	if (!key)
		return false;
	row = bpf_map_lookup_elem(&name_addresses, key);
	if (unlikely(!row)) {
		int place = name_ring_take(key);

		if (place < 0)
			return false;
		/* Another processor may have made it meanwhile. */
		bpf_map_update_elem(&name_addresses, key, name_nothing, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&name_addresses, key);
		if (row)
			row->place = place;
	}
	for (int i = 0; row && i < NAME_TRIES; i++)
		if (name_slot_take(row, identity, expires_s, now_s))
			return true;
	return false;
}

/* What the agent and the proxy learn, by BPF_PROG_TEST_RUN of name_put(): the "packet" is this. */
struct name_put {
	struct name_address_key key;
	__u32 identity;		/* 0: only frees */
	__u32 expires_s;
	__u32 replaces[NAME_SLOTS];	/* identities whose slots are freed afterwards; 0 = none */
	__u32 done;		/* answer: 1 */
};
_Static_assert(sizeof(struct name_put) == 64, "name_put");

static __always_inline __u32 name_now_s(void)
{
	return bpf_ktime_get_coarse_ns() / NANOSECONDS;
}

#define NAME_WAYS 8
#define NAME_PENDING_BUCKETS 256	/* of a pod; with the ways, 2,048 questions that wait for their answers */

/*
 * A question that has passed. What its addresses are is not noted: an answer repeats the question, and is read like it. So whoever makes two
 * names of one hash gains nothing.
 */
struct name_question {
	__u64 tag;		/* client's port, id, hash of name, type and class; 0 = free */
	__u32 asked_ms;		/* CLOCK_MONOTONIC */
	__u32 answered;		/* 1: it has been */
};

struct name_pending_key {
	__u32 endpoint;
	__u32 bucket;
};
_Static_assert(sizeof(struct name_pending_key) == 8, "name_pending_key");

struct name_pending {
	struct name_question ways[NAME_WAYS];
};
_Static_assert(sizeof(struct name_pending) == 128, "name_pending");

/* Questions write, answers read. In buckets of each pod's own: many questions of one push out no other's. 256 pods that ask all the time. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256 * NAME_PENDING_BUCKETS);
	__type(key, struct name_pending_key);
	__type(value, struct name_pending);
} name_pending SEC(".maps");

#define NAME_PENDING_MS  30000	/* resolvers give up after 5 s (resolv.conf(5)), and their servers soon after */

static __always_inline __u32 name_now_ms(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000;
}

/* Who asked, with which id. */
struct name_asker {
	__u32 endpoint;
	__be16 port;
	__be16 id;
	__u32 hash;		/* of name, type and class */
};

static __always_inline __u64 name_tag(const struct name_asker *asker)
{
	return (__u64)asker->port << 48 | (__u64)asker->id << 32 | (asker->hash ? asker->hash : 1);
}

static __always_inline struct name_pending *name_pending_find(const struct name_asker *asker, bool make)
{
	__u32 mixed = ((__u32)asker->port << 16 | asker->id) * 0x9e3779b1;
	struct name_pending_key key = { .endpoint = asker->endpoint, .bucket = mixed >> 24 };
	struct name_pending *row = bpf_map_lookup_elem(&name_pending, &key);

	if (unlikely(!row && make)) {
		bpf_map_update_elem(&name_pending, &key, name_nothing, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&name_pending, &key);
	}
	return row;
}

/* How long ago it was asked. Another processor may have written that by a later tick of the clock than the one read here. */
static __always_inline __u32 name_way_age(const struct name_question *way, __u32 now_ms)
{
	__u32 age = now_ms - *(const volatile __u32 *)&way->asked_ms;

	return age > -(__u32)NAME_PENDING_MS ? 0 : age;
}

/* How willingly the way of the question `tag` is given to another: free, answered, or asked long ago. */
static __always_inline __u32 name_way_willing(const struct name_question *way, __u64 tag, __u32 now_ms)
{
	__u32 age = name_way_age(way, now_ms);

	if (!tag)
		return 0xffffffff;
	return *(const volatile __u32 *)&way->answered || age > 0x7fffffff ? age | 0x80000000 : age;
}

static __always_inline __u64 name_way_tag(const struct name_question *way)
{
	return *(const volatile __u64 *)&way->tag;
}

/*
 * One try to have the question in a way: its own, else the one that is given most willingly. False where another processor was quicker. The tag
 * comes last, and only in place of the one that was chosen to go: none takes a way for free or answered that is so no longer.
 */
__noinline bool name_way_take(struct name_pending *row, __u64 tag, __u32 now_ms)
{
	struct name_question *chosen;
	__u32 most = 0;
	__u64 seen;

	if (!row)
		return false;
	chosen = &row->ways[0];
	seen = name_way_tag(chosen);
	for (int i = 0; i < NAME_WAYS; i++) {
		struct name_question *way = &row->ways[i];
		__u64 theirs = name_way_tag(way);
		__u32 willing = name_way_willing(way, theirs, now_ms);

		if (theirs != tag && willing <= most)
			continue;
		most = willing;
		chosen = way;
		seen = theirs;
		if (theirs == tag)
			break;
	}
	chosen->asked_ms = now_ms;
	chosen->answered = 0;
	return __sync_val_compare_and_swap(&chosen->tag, seen, tag) == seen;
}

/* Remembers a question that may go on. False: no room, or other processors were quicker time after time. */
__noinline bool name_ask(const struct name_asker *asker)
{
	struct name_pending *row;
	__u32 now = name_now_ms();
	__u64 tag;

	if (!asker)
		return false;
	tag = name_tag(asker);
	row = name_pending_find(asker, true);
	for (int i = 0; row && i < NAME_TRIES; i++)
		if (name_way_take(row, tag, now))
			return true;
	return false;
}

/* Has this been asked? `whole`: name, type and class too; an error may come without them. */
__noinline bool name_asked(const struct name_asker *asker, bool whole)
{
	__u32 now = name_now_ms();
	struct name_pending *row;
	__u64 tag;

	if (!asker)
		return false;
	tag = name_tag(asker);
	row = name_pending_find(asker, false);
	if (!row)
		return false;
	for (int i = 0; i < NAME_WAYS; i++) {
		struct name_question *way = &row->ways[i];

		if (!way->tag || (whole ? way->tag != tag : way->tag >> 32 != tag >> 32) || name_way_age(way, now) > NAME_PENDING_MS)
			continue;
		/* Several servers may be asked the same at once, and the first to answer may know nothing: it stays, but gives way. */
		if (!way->answered)
			way->answered = 1;
		return true;
	}
	return false;
}

/* The name that is being read, in the bytes of a message. */
struct name_walk {
	__u32 at;		/* of what follows it; 0 = it has no end */
	__u32 end;		/* of the message */
	__u32 left;		/* bytes of the label */
	__u32 state;
	__u32 hash;
	__u32 class;
	__u32 identity;
};

#define NAME_LENGTH_MAX 255	/* with all lengths (RFC 1035 §2.3.4) */
#define LABEL_LENGTH_MAX 63
#define NAME_HASH_BASIS 0x811c9dc5	/* FNV-1a */
#define NAME_HASH_PRIME 0x01000193

static __always_inline __u32 name_hash(__u32 hash, __u8 byte)
{
	return (hash ^ byte) * NAME_HASH_PRIME;
}

/* Columns of the bytes of a label. Read from memory, as the verifier would walk every branch for every byte. */
static const __u8 name_columns[256] = {
	39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39,
	39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 36, 39, 39, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 39, 39, 39, 39, 39, 39,
	39, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 39, 39, 39, 39, 37,
	39, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 39, 39, 39, 39, 39,
	39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39,
	39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39,
	39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39,
	39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39,
};

/* Letters fold into their lower case, and a few other bytes with them: it is only for the hash. */
static __always_inline __u8 name_fold(__u8 byte)
{
	return byte | (byte & 0x40) >> 1;
}
