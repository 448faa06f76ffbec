/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Records of requests and answers (http_event.h), written once each. */
#pragma once

#include "http_own.h"
#include "tell.h"

static __always_inline __u32 at_most(__u32 value, __u32 limit)
{
	return value < limit ? value : limit;
}

#define HTTP_TOLD (HTTP_METHOD_TOLD + HTTP_URL_TOLD + HTTP_HOST_TOLD + HTTP_TRACE_TOLD)

struct http_record {
	struct http_event event;
	__u8 texts[HTTP_TOLD + HTTP_URL_TOLD];	/* so that any of them fits behind any other, as far as the verifier can tell */
};

/* Where records with long texts are put together; each processor's own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_record);
} http_records SEC(".maps");

/*
 * Other records are written where they are read from. Their texts are copied in words, all that there is room for whatever there is of them:
 * the next one writes over what is too much, and nobody reads what is behind the last. Most requests are small; with a trace, or with a
 * query, they are not.
 */
#define HTTP_USUAL_METHOD 8
#define HTTP_SMALL_URL    48
#define HTTP_SMALL_HOST   32
#define HTTP_LARGE_URL    128
#define HTTP_LARGE_HOST   56
#define HTTP_LARGE_TRACE  56
_Static_assert(HTTP_USUAL_METHOD + 1 + HTTP_LARGE_URL <= sizeof(((struct http_reader *)0)->line), "http_reader.line");
_Static_assert(HTTP_LARGE_HOST <= sizeof(((struct http_reader *)0)->host) && HTTP_LARGE_TRACE <= sizeof(((struct http_reader *)0)->trace), "http_reader.host");

struct http_small_record {
	struct http_event event;
	__u8 texts[HTTP_USUAL_METHOD + HTTP_SMALL_URL + HTTP_SMALL_HOST];
};

struct http_large_record {
	struct http_event event;
	__u8 texts[HTTP_USUAL_METHOD + HTTP_LARGE_URL + HTTP_LARGE_HOST + HTTP_LARGE_TRACE];
};

/* How many bytes of each text are told. */
struct http_lengths {
	__u32 method;
	__u32 url;
	__u32 host;
	__u32 trace;
};

/* What is told of a request besides its texts. */
struct http_opinion {
	__u64 time_ns;	/* CLOCK_MONOTONIC */
	__u32 rule;
	__u32 exchange;
	__u16 status;	/* with which it is answered here */
	__u8 verdict;	/* enum policy_verdict_kind */
	__u8 fault;
};

static __always_inline void http_words_put(__u8 *to, const __u8 *from, const __u32 bytes)
{
	const __u64 *source = (const __u64 *)from;
	__u64 *words = (__u64 *)to;

	for (int i = 0; i < bytes / 8; i++)
		words[i] = source[i];
}

static __always_inline void http_addr_put(struct addr *to, const struct addr *from)
{
	http_words_put((__u8 *)to, (const __u8 *)from, sizeof(*to));
}

/* All of it but `status`, which the caller writes, and the lengths: the memory is anybody's. */
static __always_inline void http_event_begin(struct http_event *record, const struct http_connection *row, const bool reply)
{
	struct flow_event *event = &record->event;

	http_addr_put(&event->source, reply ? &row->key.server : &row->key.client);
	http_addr_put(&event->destination, reply ? &row->key.client : &row->key.server);
	event->source_port = reply ? row->key.server_port : row->key.client_port;
	event->destination_port = reply ? row->key.client_port : row->key.server_port;
	event->protocol = IPPROTO_TCP;
	event->tcp_flags = 0;
	event->type = EVENT_L7;
	event->reason_or_point = POINT_TO_ENDPOINT;
	event->source_identity = reply ? row->destination_identity : row->source_identity;
	event->destination_identity = reply ? row->source_identity : row->destination_identity;
	event->source_endpoint = reply ? row->destination_endpoint : row->source_endpoint;
	event->destination_endpoint = reply ? row->source_endpoint : row->destination_endpoint;
	event->ifindex = row->ifindex;
	event->length = 0;
	event->direction = DIRECTION_INGRESS;
	event->match = 0;
	event->flags = (reply ? EVENT_REPLY : 0) | (addr_is_v4(&row->key.client) ? 0 : EVENT_V6);
	http_addr_put(&event->service, &row->service_addr);
	event->service_port = row->service_port;
	event->ct_state = reply ? STATE_REPLY : STATE_ESTABLISHED;
	event->icmp_type = event->icmp_code = event->end = 0;
	event->pad[0] = event->pad[1] = 0;
	event->latency_us = 0;
	event->pad2 = 0;
	record->connection = row->number;
	record->pad = 0;
}

static __always_inline void http_record_begin(struct http_event *record, const struct http_connection *row, const struct http_opinion *opinion, const struct http_lengths *lengths)
{
	http_event_begin(record, row, false);
	record->event.time_ns = opinion->time_ns;
	record->event.rule = opinion->rule;
	record->event.verdict = opinion->verdict;
	record->exchange = opinion->exchange;
	record->status = opinion->status;
	record->minor = row->request.body.minor;
	record->fault = opinion->fault;
	record->method_length = lengths->method;
	record->url_length = lengths->url;
	record->host_length = lengths->host;
	record->trace_length = lengths->trace;
}

/* `texts` has room for these. */
static __always_inline void http_texts_put(__u8 *texts, const struct http_connection *row, const struct http_lengths *lengths, const __u32 url_room, const __u32 host_room, const __u32 trace_room)
{
	__u64 method = opaque(lengths->method), url = opaque(lengths->url), host = opaque(lengths->host);

	if (method > HTTP_USUAL_METHOD || url > url_room || host > host_room)
		return;
	http_words_put(texts, row->request.line, HTTP_USUAL_METHOD);
	http_words_put(texts + method, row->request.line + method + 1, url_room);
	http_words_put(texts + method + url, row->request.host, host_room);
	if (trace_room)
		http_words_put(texts + method + url + host, row->request.trace, trace_room);
}

/* Behind what the record has already; returns where the next text goes. */
static __always_inline __u32 http_text_put(struct http_record *record, __u32 at, const __u8 *from, __u64 length)
{
	length = opaque(length);
	if (!length || length > HTTP_URL_TOLD || at > HTTP_TOLD)
		return at;
	bpf_probe_read_kernel(record->texts + at, length, from);
	return at + length;
}

static __noinline int http_long_request_tell(const struct http_connection *row, const struct http_opinion *opinion, const struct http_lengths *lengths)
{
	__u32 zero = 0, at = 0;
	struct http_record *record = bpf_map_lookup_elem(&http_records, &zero);

	if (!record)
		return 0;
	http_record_begin(&record->event, row, opinion, lengths);
	at = http_text_put(record, at, row->request.line, lengths->method);
	at = http_text_put(record, at, row->request.line + at_most(row->request.method_length + 1, HTTP_LINE), lengths->url);
	at = http_text_put(record, at, row->request.host, lengths->host);
	at = http_text_put(record, at, row->request.trace, lengths->trace);
	at = opaque(at);
	if (at <= HTTP_TOLD)
		event_write(&flow_events, LOST_FLOW_EVENTS, record, sizeof(record->event) + at);
	return 0;
}

static __always_inline void http_small_request_tell(const struct http_connection *row, const struct http_opinion *opinion, const struct http_lengths *lengths)
{
	struct http_small_record *record = bpf_ringbuf_reserve(&flow_events, sizeof(*record), 0);

	if (unlikely(!record)) {
		event_lost(LOST_FLOW_EVENTS);
		return;
	}
	http_record_begin(&record->event, row, opinion, lengths);
	http_texts_put(record->texts, row, lengths, HTTP_SMALL_URL, HTTP_SMALL_HOST, 0);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void http_large_request_tell(const struct http_connection *row, const struct http_opinion *opinion, const struct http_lengths *lengths)
{
	struct http_large_record *record = bpf_ringbuf_reserve(&flow_events, sizeof(*record), 0);

	if (unlikely(!record)) {
		event_lost(LOST_FLOW_EVENTS);
		return;
	}
	http_record_begin(&record->event, row, opinion, lengths);
	http_texts_put(record->texts, row, lengths, HTTP_LARGE_URL, HTTP_LARGE_HOST, HTTP_LARGE_TRACE);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* Not static: the verifier walks it once. */
__noinline int http_request_tell(const struct http_connection *row, const struct http_opinion *opinion)
{
	struct http_counts *counts = http_counts_own();
	struct http_lengths lengths = {};

	if (!row || !opinion || !counts)
		return 0;
	counts->requests += !opinion->fault;
	counts->denied += !opinion->fault && opinion->verdict == VERDICT_DENY;
	counts->faults += !!opinion->fault;
	if (config.monitor_aggregation == AGGREGATION_SILENT)
		return 0;
	/* Of what could not be read nobody knows which part is what; a path that leads nowhere has been read. */
	if (likely(!opinion->fault || opinion->fault == HTTP_FAULT_PATH)) {
		lengths.method = at_most(row->request.method_length, HTTP_METHOD_TOLD);
		lengths.url = at_most(at_most(row->request.target_length, HTTP_URL_TOLD), HTTP_LINE - at_most(row->request.method_length + 1, HTTP_LINE));
		lengths.host = at_most(at_most(row->request.host_length, HTTP_HOST_TOLD), HTTP_HOST);
		lengths.trace = at_most(at_most(row->request.trace_length, HTTP_TRACE_TOLD), sizeof(row->request.trace));
	}
	if (likely(lengths.method <= HTTP_USUAL_METHOD && lengths.url <= HTTP_SMALL_URL && lengths.host <= HTTP_SMALL_HOST && !lengths.trace))
		http_small_request_tell(row, opinion, &lengths);
	else if (lengths.method <= HTTP_USUAL_METHOD && lengths.url <= HTTP_LARGE_URL && lengths.host <= HTTP_LARGE_HOST)
		http_large_request_tell(row, opinion, &lengths);
	else
		http_long_request_tell(row, opinion, &lengths);
	return 0;
}

__noinline int http_answer_tell(const struct http_connection *row, const struct http_exchange *exchange, __u32 status, __u32 minor)
{
	struct http_counts *counts = http_counts_own();
	struct http_event *record;

	if (!row || !exchange || !counts)
		return 0;
	counts->answers++;
	if (config.monitor_aggregation == AGGREGATION_SILENT)
		return 0;
	record = bpf_ringbuf_reserve(&flow_events, sizeof(*record), 0);
	if (unlikely(!record)) {
		event_lost(LOST_FLOW_EVENTS);
		return 0;
	}
	http_event_begin(record, row, true);
	record->event.time_ns = bpf_ktime_get_ns();
	record->event.latency_us = latency_us(record->event.time_ns - exchange->started_ns);
	record->event.rule = exchange->rule;
	record->event.verdict = VERDICT_ALLOW;
	record->exchange = exchange->number;
	record->status = status;
	record->minor = minor;
	record->fault = 0;
	record->method_length = record->url_length = record->host_length = record->trace_length = 0;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}
