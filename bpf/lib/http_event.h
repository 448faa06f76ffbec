/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel tells of HTTP/1.1 that it carries: each request once, each answer once; and what it counts. */
#pragma once

#include "events.h"

/* The longest that a record bears of each text; what is longer is cut. */
#define HTTP_METHOD_TOLD 32
#define HTTP_URL_TOLD    512
#define HTTP_HOST_TOLD   255
#define HTTP_TRACE_TOLD  64

/*
 * In flow_events. A request goes from client to server, and bears the rule that let it pass, or 0 where none did; an answer bears the same,
 * has EVENT_REPLY, and latency_us since the request's head was read. The texts follow, one behind the other: method, URL as it was written,
 * host, traceparent. An answer has none: it is the same exchange's as the request's.
 */
struct http_event {
	struct flow_event event;	/* EVENT_L7 */
	__u32 connection;		/* a random number of the connection's own */
	__u32 exchange;			/* counts its requests */
	__u16 status;			/* of an answer; of a request: with what the kernel has answered it itself, else 0 */
	__u8 minor;			/* HTTP/1.x */
	__u8 fault;			/* why it could not be read; 0: it could */
	__u16 method_length;
	__u16 url_length;
	__u16 host_length;
	__u16 trace_length;
	__u32 pad;
};
_Static_assert(sizeof(struct http_event) == 136, "http_event");

struct http_counts {
	__u64 connections;	/* taken at their SYN */
	__u64 requests;		/* read to the end of their heads */
	__u64 denied;
	__u64 faults;		/* could not be read, or nothing may follow them: their connections end */
	__u64 answers;
	__u64 unknown_answers;	/* connections whose server could not be understood */
	__u64 held;		/* segments dropped to be sent again, since something had to come first */
	__u64 resets;
};
_Static_assert(sizeof(struct http_counts) == 64, "http_counts");

/* The packet path writes, each processor its own; the agent sums up. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_counts);
} http_counts SEC(".maps");

static __always_inline struct http_counts *http_counts_own(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&http_counts, &zero);
}
