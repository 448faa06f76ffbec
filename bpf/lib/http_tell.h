/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Records of requests and answers (http_event.h), written once each. */
#pragma once

#include "http_own.h"
#include "tell.h"

#define HTTP_TOLD (HTTP_METHOD_TOLD + HTTP_URL_TOLD + HTTP_HOST_TOLD + HTTP_TRACE_TOLD)

struct http_record {
	struct http_event event;
	__u8 texts[HTTP_TOLD + HTTP_URL_TOLD];	/* so that any of them fits behind any other, as far as the verifier can tell */
};

/* Where records are put together; each processor's own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_record);
} http_records SEC(".maps");

static __always_inline void http_record_begin(struct http_record *record, const struct http_connection *row, bool reply)
{
	struct flow_event *event = &record->event.event;

	__builtin_memset(&record->event, 0, sizeof(record->event));
	event->time_ns = bpf_ktime_get_ns();
	event->source = reply ? row->key.server : row->key.client;
	event->destination = reply ? row->key.client : row->key.server;
	event->source_port = reply ? row->key.server_port : row->key.client_port;
	event->destination_port = reply ? row->key.client_port : row->key.server_port;
	event->protocol = IPPROTO_TCP;
	event->type = EVENT_L7;
	event->reason_or_point = POINT_TO_ENDPOINT;
	event->source_identity = reply ? row->destination_identity : row->source_identity;
	event->destination_identity = reply ? row->source_identity : row->destination_identity;
	event->source_endpoint = reply ? row->destination_endpoint : row->source_endpoint;
	event->destination_endpoint = reply ? row->source_endpoint : row->destination_endpoint;
	event->ifindex = row->ifindex;
	event->direction = DIRECTION_INGRESS;
	event->flags = (reply ? EVENT_REPLY : 0) | (addr_is_v4(&row->key.client) ? 0 : EVENT_V6);
	event_service(event, row->service);
	event->ct_state = reply ? STATE_REPLY : STATE_ESTABLISHED;
	record->event.connection = row->number;
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

static __always_inline __u32 at_most(__u32 value, __u32 limit)
{
	return value < limit ? value : limit;
}

/* What is told of a request besides its texts. */
struct http_opinion {
	__u32 rule;
	__u32 exchange;
	__u16 status;	/* with which it is answered here */
	__u8 verdict;	/* enum policy_verdict_kind */
	__u8 fault;
};

/* Not static: the verifier walks it once. */
__noinline int http_request_tell(const struct http_connection *row, const struct http_opinion *opinion)
{
	__u32 zero = 0, at = 0, method, url, host, trace, start;
	struct http_record *record = bpf_map_lookup_elem(&http_records, &zero);
	struct http_counts *counts = http_counts_own();

	if (!row || !opinion || !record || !counts)
		return 0;
	counts->requests += !opinion->fault;
	counts->denied += !opinion->fault && opinion->verdict == VERDICT_DENY;
	counts->faults += !!opinion->fault;
	if (config.monitor_aggregation == AGGREGATION_SILENT)
		return 0;
	http_record_begin(record, row, false);
	record->event.event.verdict = opinion->verdict;
	record->event.event.rule = opinion->rule;
	record->event.exchange = opinion->exchange;
	record->event.status = opinion->status;
	record->event.fault = opinion->fault;
	record->event.minor = row->request.body.minor;
	start = at_most(row->request.method_length + 1, HTTP_LINE);
	method = at_most(row->request.method_length, HTTP_METHOD_TOLD);
	url = at_most(at_most(row->request.target_length, HTTP_URL_TOLD), HTTP_LINE - start);
	host = at_most(at_most(row->request.host_length, HTTP_HOST_TOLD), HTTP_HOST);
	trace = at_most(at_most(row->request.trace_length, HTTP_TRACE_TOLD), sizeof(row->request.trace));
	/* Of what could not be read nobody knows which part is what; a path that leads nowhere has been read. */
	if (opinion->fault && opinion->fault != HTTP_FAULT_PATH)
		method = url = host = trace = 0;
	record->event.method_length = method;
	record->event.url_length = url;
	record->event.host_length = host;
	record->event.trace_length = trace;
	at = http_text_put(record, at, row->request.line, method);
	at = http_text_put(record, at, row->request.line + start, url);
	at = http_text_put(record, at, row->request.host, host);
	at = http_text_put(record, at, row->request.trace, trace);
	at = opaque(at);
	if (at <= HTTP_TOLD)
		event_write(&flow_events, LOST_FLOW_EVENTS, record, sizeof(record->event) + at);
	return 0;
}

__noinline int http_answer_tell(const struct http_connection *row, const struct http_exchange *exchange, __u32 status, __u32 minor)
{
	__u32 zero = 0;
	struct http_record *record = bpf_map_lookup_elem(&http_records, &zero);
	struct http_counts *counts = http_counts_own();

	if (!row || !exchange || !record || !counts)
		return 0;
	counts->answers++;
	if (config.monitor_aggregation == AGGREGATION_SILENT)
		return 0;
	http_record_begin(record, row, true);
	record->event.event.verdict = VERDICT_ALLOW;
	record->event.event.rule = exchange->rule;
	record->event.event.latency_us = latency_us(record->event.event.time_ns - exchange->started_ns);
	record->event.exchange = exchange->number;
	record->event.status = status;
	record->event.minor = minor;
	event_write(&flow_events, LOST_FLOW_EVENTS, &record->event, sizeof(record->event));
	return 0;
}
