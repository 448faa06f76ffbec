/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is known of each connection whose HTTP is read in the kernel (http.h), and how the two ends' sequence numbers differ.
 *
 * A request that is denied is taken out of what the pod gets, and its answer put into what the client gets. From there on each end counts
 * otherwise than the other:
 *
 *     client's bytes     | allowed | denied | allowed |         pod's bytes       | answer |     | answer |
 *     the pod gets them  | allowed || allowed |                 the client's      | answer | 403 | answer |
 *                                  ▲ `cut` fewer                                           ▲ `added` more
 *
 * Only the last such place can matter still: nothing is denied before all that was passed has been acknowledged, and answered, and before
 * the client has acknowledged the last answer of ours. So what lies before it and after it is all that is kept.
 */
#pragma once

#include "http_event.h"
#include "http_reader.h"
#include "redirect.h"

#define MARK_OF_READER 0x0700	/* an answer of ours, on its way back from http_to_pod: not the pod's, and not to be read */

#define HTTP_OUTSTANDING 16	/* requests without an answer */
#define HTTP_RANGES      128	/* half packets: 64 KiB in packets of 1,024 bytes and more */

/* What becomes of the client's next byte. The request's side writes. */
enum http_phase {
	HTTP_READING = 0,
	HTTP_SWALLOWING = 1,	/* the body of a request that was denied */
	HTTP_BLIND = 2,		/* nobody asks for layer 7 any more, or the two speak another protocol: all passes */
	HTTP_OVER = 3,		/* we have ended it with an answer: the pod is reset, what the client still sends leads nowhere */
	HTTP_RESET = 4,		/* we have ended it: both are reset */
};

/* A request that has passed, and has no answer yet. */
struct http_exchange {
	__u64 started_ns;	/* CLOCK_MONOTONIC: its head had been read */
	__u32 number;
	__u32 rule;
	__u32 flags;		/* enum http_flag */
	__u32 pad;
};
_Static_assert(sizeof(struct http_exchange) == 24, "http_exchange");

/* Bytes that have been read as part of a head or of a chunk's frame, in the client's numbers: they pass once more only if they are the same. */
struct http_range {
	__u32 start;
	__u32 end;
	__u64 hash;
};

/* Numbers of sequences are in host order. Each field has one writer, but for `answers` and the busy words. */
struct http_connection {
	struct proxy_connection_key key;	/* again: memory of rows that are gone is given to others */
	__u32 ifindex;		/* the host side of the pod's veth */
	__u64 seen_ns;		/* CLOCK_MONOTONIC, mostly coarse: the client's last segment */
	__u64 secret[2];	/* of the hashes */
	__u32 number;		/* in events */
	/* The host's side writes: who the two are, and what holds. */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 source_endpoint;
	__u32 destination_endpoint;
	__u32 service;		/* number of the one that the client has asked for, or 0 */
	__u32 set;		/* in http_sets; 0: all passes */
	__u32 rule;		/* that asks for it */

	/* The request's side writes, http_to_pod. */
	__u32 request_busy;	/* a processor is at it */
	__u32 request_next;	/* the client's next byte that has not been read */
	__u32 request_first;
	__u32 cut;		/* bytes that the pod has not got, behind the last cut ... */
	__u32 cut_before;	/* ... and before it */
	__u32 cut_start;	/* of the last cut, in the client's numbers */
	__u32 cut_end;
	__u32 swallowed;	/* of the body of the request that was denied */
	__u32 own_start;	/* of the last answer of ours, in the numbers that the client sees */
	__u32 own_end;
	__u32 own_pending;	/* the client has not acknowledged it */
	__u32 added_before;	/* bytes that the client has got more, before `added_at`; behind it: `answers` */
	__u32 added_at;		/* of the pod's numbers */
	__u32 client_acked;	/* of the pod's numbers */
	__u32 asked;		/* requests that were passed */
	__u32 told;		/* the client's number behind the last head that has been told */
	__u32 range_count;
	__u32 numbers;		/* requests, denied ones too */
	__u8 phase;		/* enum http_phase */
	__u8 own_kind;		/* enum http_own */
	__u8 request_fin;
	__u8 in_head;		/* bytes of a head have been read, and not its end */
	__u8 heard;		/* the client has acknowledged something: it knows the pod's numbers */
	__u8 pad1[3];

	/* The answer's side writes, http_from_pod. */
	__u32 answer_busy;
	__u32 answer_first;
	__u32 server_acked;	/* of the pod's numbers for the client's bytes */
	__u32 answered;		/* exchanges that are over */
	__be16 server_window;
	__u8 established;	/* the pod has taken the connection */
	__u8 answer_fin;
	__u8 answering;		/* of the oldest exchange's answer something has passed */
	__u8 unknown;		/* answers cannot be read, or were not asked for */
	__u8 opened;		/* the two speak another protocol */
	__u8 refused;		/* ... that nobody may speak: both are to be reset */
	/* Low half: the pod's next byte. High half: bytes that the client has got more. In one, as both sides move it. */
	__u64 answers;
	/* The host's side has written, as records bear it; zero: no service. */
	struct addr service_addr;
	__be16 service_port;
	__u8 pad2[2];

	struct http_exchange exchanges[HTTP_OUTSTANDING];
	struct http_range ranges[HTTP_RANGES];
	struct http_reader request;
	struct http_answer_reader answer;
};

/*
 * Packets write and read, and delete at a connection's end; the agent sweeps what has fallen silent. Not LRU: a row that went by itself
 * would end its connection. Who finds no room is the proxy's.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct proxy_connection_key);
	__type(value, struct http_connection);
} http_connections SEC(".maps");

/*
 * One row: http_to_pod, which who forwards a segment jumps to. The agent writes, before a pod has ENDPOINT_HTTP. Without it segments meet
 * that program at the pod's device.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} http_readers SEC(".maps");

/* Where a row is put together; each processor's own. What is not written by http_take() is zero, always. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_connection);
} http_blanks SEC(".maps");

static __always_inline bool http_claim(__u32 *busy)
{
	return !__sync_val_compare_and_swap(busy, 0, 1);
}

static __always_inline void http_release(__u32 *busy)
{
	if (config.ordered_stores) {
		asm volatile("" ::: "memory");
		*(volatile __u32 *)busy = 0;
	} else {
		__sync_lock_test_and_set(busy, 0);
	}
}

/* Memory of rows is given to others at once: who has found a row looks, when it has claimed it, whether it is still this. */
static __always_inline bool http_row_is(const struct http_connection *row, const struct proxy_connection_key *key)
{
	const __u32 *one = (const __u32 *)&row->key, *other = (const __u32 *)key;
	__u32 difference = 0;

	for (int i = 0; i < sizeof(*key) / sizeof(__u32); i++)
		difference |= one[i] ^ other[i];
	return !difference;
}

/* Deletes a row with nobody at it. */
static __always_inline bool http_forget(const struct proxy_connection_key *key, struct http_connection *row)
{
	if (!http_claim(&row->request_busy))
		return false;
	if (!http_claim(&row->answer_busy)) {
		http_release(&row->request_busy);
		return false;
	}
	if (!http_row_is(row, key)) {
		http_release(&row->answer_busy);
		http_release(&row->request_busy);
		return false;
	}
	bpf_map_delete_elem(&http_connections, key);
	return true;
}

/* Can this be carried out without the proxy? Only what http_to_pod and http_from_pod see whole, and can read. */
static __always_inline bool http_may_take(const struct packet *packet)
{
	return packet->ingress_l7 && !packet->egress_l7 && packet->to && packet->to->flags & ENDPOINT_HTTP && packet_opens_tcp(&packet->headers) &&
	       !(packet->flags & (PACKET_OTHER_FAMILY | PACKET_TRANSIT | PACKET_DSR | PACKET_FROM_PROXY)) && !packet_has_options(&packet->headers) &&
	       http_set_find(packet->ingress_l7);
}

/* False: there is no room, or somebody is still at the last connection of the same ends. */
static __noinline bool http_take(struct packet *packet)
{
	__u32 zero = 0;
	struct http_connection *row = bpf_map_lookup_elem(&http_blanks, &zero), *before;
	struct http_counts *counts = http_counts_own();
	const struct service_address *service;

	if (!row || !counts || !packet->to)
		return false;
	proxy_key_of(&packet->headers, &row->key);
	before = bpf_map_lookup_elem(&http_connections, &row->key);
	if (unlikely(before) && !http_forget(&row->key, before))
		return false;
	row->ifindex = packet->to->ifindex;
	row->seen_ns = bpf_ktime_get_coarse_ns();
	for (int i = 0; i < 2; i++)
		row->secret[i] = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	row->number = bpf_get_prandom_u32();
	row->source_identity = packet->source_identity;
	row->destination_identity = packet->destination_identity;
	row->source_endpoint = endpoint_id(packet->from);
	row->destination_endpoint = packet->to->id;
	row->service = packet->service;
	service = packet->service ? service_address_find(packet->service) : NULL;
	row->service_addr = service ? service->addr : (struct addr){};
	row->service_port = service ? service->port : 0;
	row->set = packet->ingress_l7;
	row->rule = packet->ingress_rule;
	if (bpf_map_update_elem(&http_connections, &row->key, row, BPF_NOEXIST))
		return false;
	packet->ct_flags |= CONNTRACK_HTTP;
	counts->connections++;
	return true;
}

/* Policy has been asked again, and lets the connection go on: what holds now. What cannot be carried out here comes again, to the proxy. */
static __noinline int http_note(struct packet *packet)
{
	struct proxy_connection_key key;
	struct http_connection *row;

	/* What goes on under a denial goes on as it was. */
	if (packet->ct_flags & CONNTRACK_KEPT)
		return CONTINUE;
	proxy_key_of(&packet->headers, &key);
	row = bpf_map_lookup_elem(&http_connections, &key);
	if (!row || packet->egress_l7 || !packet->to)
		return -DROP_PROXY_TOO_LATE;
	/* Where it was not read for a while, nobody knows where the next request begins. What nobody asks for ends under the programs that it has. */
	if (packet->ingress_l7 && (!row->set || !(packet->to->flags & ENDPOINT_HTTP) || !http_set_find(packet->ingress_l7)))
		return -DROP_PROXY_TOO_LATE;
	row->source_identity = packet->source_identity;
	row->destination_identity = packet->destination_identity;
	row->set = packet->ingress_l7;
	row->rule = packet->ingress_rule;
	return CONTINUE;
}

/* Is this a segment that http_to_pod has to see? `reply`: it comes from the pod. */
static __always_inline bool http_is_read(const struct packet *packet)
{
	return packet->ct_flags & CONNTRACK_HTTP && !(packet->flags & (PACKET_REPLY | PACKET_ICMP_ERROR | PACKET_UNRELATED));
}

static __always_inline bool mark_is_to_reader(const struct __sk_buff *skb)
{
	return (skb->mark & MARK_MASK) == MARK_TO_READER;
}

static __always_inline bool mark_is_read_here(const struct __sk_buff *skb)
{
	return (skb->mark & MARK_MASK) == MARK_READ_HERE;
}

/* Through http_to_pod, which nothing of such a connection passes by. The caller hands this on to its program, which ends with http_read_here(). */
static __always_inline int http_forward(struct __sk_buff *skb, __u32 ifindex)
{
	skb->cb[0] = ifindex;
	return TO_READER;
}

/* To where http_to_pod stands: out of the pod's device, and one queue more. */
static __always_inline int http_to_device(struct __sk_buff *skb)
{
	skb->mark = MARK_TO_READER;
	return bpf_redirect(skb->cb[0], 0);
}

/*
 * The end of a program that has met TO_READER: does not come back where http_readers has its row. In the program itself, not in a function
 * of it, whose callers the kernel would leave little stack; and with a constant key, by which it makes a plain jump of it.
 */
static __always_inline int http_read_here(struct __sk_buff *skb)
{
	skb->mark = MARK_READ_HERE;
	bpf_tail_call(skb, &http_readers, 0);
	return http_to_device(skb);
}
