/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The client's segments, read in their order. What becomes of one is decided when the head that decides it has been read:
 *
 *     allowed                            it passes
 *     denied, behind allowed bytes       cut before the head, which comes again
 *     denied, at the segment's start     answered in its place: the pod never sees it
 *     denied, begun in an earlier one    answered, and the connection ends: the pod has a part of it
 *
 * Whatever is answered here waits (the segment is dropped, and comes again) until the pod has answered and acknowledged all before it, and
 * the client the last answer of ours.
 */
#pragma once

#include "http_tell.h"

#define HTTP_SWALLOWED_MAX (1 << 20)

#define HTTP_RANGE_WHOLE 512	/* a packet that is not longer is one range */
#define HTTP_RANGE_MAX   1024
#define HTTP_RANGES_APART 16	/* of one segment; more of them take in what lies between */

struct http_look {
	struct __sk_buff *skb;
	struct http_connection *row;
	struct http_room *room;
};

static __always_inline __u32 http_outstanding(const struct http_connection *row, __u32 asked)
{
	return asked - *(volatile const __u32 *)&row->answered;
}

/* Is the last request that was passed one behind which the client may begin to speak another protocol? */
static __always_inline bool http_may_upgrade(const struct http_connection *row, __u32 asked)
{
	return !row->unknown && http_outstanding(row, asked) && row->exchanges[(asked - 1) & (HTTP_OUTSTANDING - 1)].flags & HTTP_UPGRADE;
}

static __always_inline bool http_range_is_free(const struct http_connection *row)
{
	return row->range_count < HTTP_RANGES || sequence_difference(row->ranges[row->range_count & (HTTP_RANGES - 1)].end, http_acked(row)) <= 0;
}

/* Bytes of the payload that were read: the same must come if they come again. */
static __always_inline bool http_range_add(const struct http_look *look, __u32 start, __u32 end)
{
	struct http_connection *row = look->row;
	struct tcp_segment *segment = &look->room->segment;
	struct http_range *range = &row->ranges[row->range_count & (HTTP_RANGES - 1)];

	if (unlikely(!http_range_is_free(row)))
		return false;
	range->start = segment->seq + start;
	range->end = segment->seq + end;
	range->hash = http_hash(look->skb, look->room, row, segment->payload + start, end - start);
	row->range_count++;
	return true;
}

static long http_range_forget(__u32 index, const struct http_look *look)
{
	struct http_connection *row = look->row;
	struct http_room *room = look->room;
	struct http_range *range = &row->ranges[(row->range_count - 1) & (HTTP_RANGES - 1)];

	if (sequence_difference(range->end, room->segment.seq + room->work.keep) <= 0)
		return 1;
	row->range_count--;
	range->end = http_acked(row);
	/* A part of it stays. */
	if (sequence_difference(range->start, room->segment.seq + room->work.keep) < 0)
		room->work.run = range->start - room->segment.seq;
	return 0;
}

/* Those that this segment has made, from `keep` of its payload on. Their places are free again, as they were. */
static __always_inline void http_ranges_forget(struct http_look *look, __u32 keep)
{
	__u32 made = look->row->range_count - look->room->work.ranges;

	look->room->work.keep = keep;
	if (unlikely(made))
		bpf_loop(made, http_range_forget, look, 0);
}

/*
 * Where a range that begins at `at` ends at the latest. Bytes come again from where the pod has acknowledged, but in packets that may be
 * shorter: their sender has blocks of SACK to tell by now, or the path is narrower. Only ranges that fit as a whole can be compared, so
 * none is longer than half a packet, and none reaches into the next one.
 */
static __always_inline __u32 http_range_limit(const struct http_look *look, __u32 at)
{
	__u32 packet = look->skb->gso_size, step, begin, end;

	if (!packet)
		packet = look->room->segment.length;
	step = packet <= HTTP_RANGE_WHOLE ? packet : (packet + 1) / 2;
	if (step > HTTP_RANGE_MAX)
		step = HTTP_RANGE_MAX;
	begin = at - at % packet;
	end = begin + ((at - begin) / step + 1) * step;
	return end < begin + packet ? end : begin + packet;
}

static long http_run_step(__u32 index, struct http_look *look)
{
	struct http_work *work = &look->room->work;
	__u32 until = http_range_limit(look, work->run);

	if (until > work->run_end)
		until = work->run_end;
	if (!http_range_add(look, work->run, until))
		return 1;
	work->run = until;
	return until == work->run_end;
}

/* False: there is no place to remember all of it. */
static __always_inline bool http_run_end(struct http_look *look, __u32 end)
{
	struct http_work *work = &look->room->work;

	if (end <= work->run || work->phase != HTTP_READING)
		return true;
	if (likely(look->room->segment.length <= HTTP_RANGE_WHOLE && !look->skb->gso_size))
		return http_range_add(look, work->run, end);
	work->run_end = end;
	bpf_loop(HTTP_RANGES, http_run_step, look, 0);
	return work->run == end;
}

/* Everything that is passed has been answered and acknowledged: an answer of ours would be the next. */
static __always_inline bool http_is_settled(const struct http_connection *row, const struct http_room *room)
{
	return !http_outstanding(row, room->work.asked) && *(volatile const __u32 *)&row->server_acked == row->request_next - row->cut;
}

/* Before the message that is under way. What of it has been read is forgotten. */
static __always_inline long http_stop_before(struct http_look *look, __u32 why_here)
{
	struct http_work *work = &look->room->work;

	work->keep = work->head;
	work->decision = work->head_is_here && work->head > work->begin ? HTTP_CUT : why_here;
	return 1;
}

/* A head that does not pass, or that cannot be read. `kind`: what is said to its sender, if that ends the connection. */
static __always_inline long http_refuse(struct http_look *look, bool ends, __u32 kind)
{
	struct http_connection *row = look->row;
	struct http_work *work = &look->room->work;

	work->kind = kind;
	if (row->unknown || row->answer_fin)
		return http_stop_before(look, HTTP_BREAK);
	if (http_outstanding(row, work->asked))
		return http_stop_before(look, HTTP_HOLD);
	if (ends || !work->head_is_here)
		return http_stop_before(look, HTTP_CLOSE);
	if (!http_is_settled(row, look->room))
		return http_stop_before(look, HTTP_HOLD);
	return http_stop_before(look, HTTP_DENY);
}

static __always_inline long http_refuse_head(struct http_look *look)
{
	const struct http_body *body = &look->row->request.body;
	struct http_work *work = &look->room->work;
	bool ends = body->flags & HTTP_CLOSES || !work->head_is_here || (!http_between(body) && (body->flags & HTTP_EXPECTS || body->content_length > HTTP_SWALLOWED_MAX));
	long stop = http_refuse(look, ends, (ends ? HTTP_OWN_LAST : HTTP_OWN_DENIED) + !!(body->flags & HTTP_IS_HEAD));

	if (work->decision != HTTP_DENY)
		return stop;
	/* Its body leads nowhere. */
	work->phase = HTTP_SWALLOWING;
	return http_between(body);
}

/* A fault in a body, of which a part has passed. */
static __always_inline long http_refuse_body(struct http_look *look, __u32 kind)
{
	struct http_connection *row = look->row;
	struct http_work *work = &look->room->work;
	bool clean = !row->unknown && !row->answer_fin && http_outstanding(row, work->asked) == 1 && !row->answering;

	work->kind = kind;
	if (work->phase == HTTP_SWALLOWING) {
		work->kind = HTTP_OWN_LAST;
		clean = work->decision == HTTP_DENY;
	}
	work->decision = clean ? HTTP_CLOSE : HTTP_BREAK;
	return 1;
}

static __always_inline __u32 http_kind_of_fault(__u32 fault)
{
	/* As that of any other version. */
	if (fault == HTTP_FAULT_HTTP2)
		fault = HTTP_FAULT_VERSION;
	if (fault >= HTTP_FAULT_ABSOLUTE_FORM && fault - HTTP_FAULT_ABSOLUTE_FORM < HTTP_OWN_TEXTS - HTTP_OWN_OURS)
		return HTTP_OWN_OURS + fault - HTTP_FAULT_ABSOLUTE_FORM;
	return HTTP_OWN_FAULTS + (fault <= 26 ? fault : 0);
}

static __always_inline void http_note_request(struct http_connection *row, const struct http_opinion *opinion, struct http_work *work, bool is_new)
{
	struct http_exchange *exchange = &row->exchanges[work->asked & (HTTP_OUTSTANDING - 1)];

	exchange->started_ns = opinion->time_ns;
	/* Else it stands here already. */
	if (is_new)
		exchange->number = row->numbers;
	exchange->rule = opinion->rule;
	exchange->flags = row->request.body.flags;
	work->asked++;
}

/* Behind a head. */
static __always_inline long http_decide(struct http_look *look, const struct http_set *set)
{
	struct http_connection *row = look->row;
	struct http_work *work = &look->room->work;
	struct http_opinion opinion = { .verdict = VERDICT_ALLOW };
	__u32 end = look->room->segment.seq + work->at;
	__u64 passes = http_passes(&row->request);
	/* What is cut off behind it may have brought it here before. */
	bool is_new = sequence_difference(end, row->told) > 0;

	row->in_head = 0;
	if (!passes)
		return http_refuse_head(look);
	if (!row->unknown && http_outstanding(row, work->asked) >= HTTP_OUTSTANDING)
		return http_stop_before(look, HTTP_HOLD);
	opinion.rule = set->rules[__builtin_ctzll(passes) & (HTTP_RULES - 1)];
	opinion.exchange = row->numbers;
	opinion.time_ns = row->seen_ns = bpf_ktime_get_ns();
	work->seen = 1;
	if (!row->unknown)
		http_note_request(row, &opinion, work, is_new);
	if (is_new) {
		row->told = end;
		row->numbers++;
		http_request_tell(row, &opinion);
	}
	return 0;
}

static __always_inline long http_skip_opaque(struct http_look *look, __u32 rest)
{
	struct http_body *body = &look->row->request.body;
	struct http_work *work = &look->room->work;
	__u32 bytes = body->opaque < rest ? body->opaque : rest;

	if (likely(look->row->range_count - work->ranges < HTTP_RANGES_APART || work->at + bytes > http_range_limit(look, work->run))) {
		if (unlikely(!http_run_end(look, work->at))) {
			work->decision = HTTP_HOLD;
			return 1;
		}
		work->run = work->at + bytes;
	}
	http_skip(body, bytes);
	work->at += bytes;
	return work->phase == HTTP_SWALLOWING && http_between(body);
}

static long http_request_step(__u32 index, struct http_look *look)
{
	struct http_connection *row = look->row;
	struct http_room *room = look->room;
	struct http_work *work = &room->work;
	__u32 rest = room->segment.length - work->at, length, read;
	const struct http_set *set;
	enum http_stop stop = HTTP_MORE;

	if (!rest || work->at > room->segment.length)
		return 1;
	if (http_is_opaque(&row->request.body))
		return http_skip_opaque(look, rest);
	if (http_between(&row->request.body)) {
		work->head = work->at;
		work->head_is_here = 1;
		if (work->at <= look->skb->gso_size) {
			work->fits = work->at;
			work->fits_asked = work->asked;
		}
		row->in_head = 1;
		if (http_may_upgrade(row, work->asked))
			return http_stop_before(look, HTTP_HOLD);
	}
	if (!http_owned(look->skb, room, work->at, rest < HTTP_OWNED ? rest : HTTP_OWNED)) {
		work->decision = HTTP_HOLD;
		return 1;
	}
	set = http_set_find(http_set_of(&row->request, row->set));
	length = rest < HTTP_CHUNK ? rest : HTTP_CHUNK;
	if (!set || !http_load(look->skb, room, room->segment.payload + work->at, length)) {
		work->decision = HTTP_LOST;
		return 1;
	}
	read = http_read_request(&row->request, set, &room->chunk, length, &stop);
	work->at += read <= length ? read : length;
	if (stop == HTTP_HEAD)
		return http_decide(look, set) | (work->at == room->segment.length);
	if (stop == HTTP_FAULT)
		return row->in_head ? http_refuse(look, true, http_kind_of_fault(row->request.body.fault)) :
					      http_refuse_body(look, http_kind_of_fault(row->request.body.fault));
	return stop == HTTP_END && work->phase == HTTP_SWALLOWING;
}

static __always_inline void http_reader_restore(struct http_connection *row, const struct http_room *room)
{
	row->in_head = room->before_in_head;
	if (room->before_is_kept == HTTP_KEPT_ALL)
		__builtin_memcpy(&row->request, &room->before, sizeof(row->request));
	else if (room->before_is_kept == HTTP_KEPT_BODY)
		row->request.body = room->before.body;
	else
		__builtin_memset(&row->request, 0, sizeof(row->request));
}

static __always_inline int http_hold(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	struct http_look look = { .row = row, .room = room };

	http_ranges_forget(&look, room->work.begin);
	http_reader_restore(row, room);
	return http_drop(skb, row, room, DROP_HTTP_HELD, true);
}

static __always_inline int http_pass(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	http_translate(skb, room, http_seq_to_pod(row, room->segment.seq), http_ack_to_pod(row, room->segment.ack), http_is_moved(row));
	return TC_ACT_OK;
}

/* Both are reset, now and whenever either sends again. */
static __noinline int http_break(struct __sk_buff *skb, struct http_connection *row, struct http_room *room, __u32 reason)
{
	struct http_counts *counts = http_counts_own();
	__u32 seq = row->request_next - row->cut;

	row->phase = HTTP_RESET;
	if (counts)
		counts->resets++;
	http_drop(skb, row, room, reason, true);
	return http_reset_client(skb, room) ? http_reset_pod_too(skb, row, room, seq) : TC_ACT_SHOT;
}

/* Puts an answer of ours behind what the pod has sent. False: the pod has sent more at this moment, or has ended. */
static __always_inline bool http_inject(struct http_connection *row, __u32 kind, bool fin)
{
	__u64 answers = *(volatile __u64 *)&row->answers;
	__u32 next = answers, added = http_added(answers), length;
	__u64 row_of_text = opaque(kind);

	if (row_of_text >= HTTP_OWN_TEXTS || row->answer_fin || row->own_pending)
		return false;
	length = http_texts[row_of_text].length + fin;
	/* Until `answers` changes, these say what it says. */
	*(volatile __u32 *)&row->added_before = added;
	*(volatile __u32 *)&row->added_at = next;
	row->own_kind = kind;
	row->own_start = next + added;
	row->own_end = next + added + length;
	*(volatile __u32 *)&row->own_pending = 1;
	if (__sync_val_compare_and_swap(&row->answers, answers, next | (__u64)(added + length) << 32) == answers)
		return true;
	*(volatile __u32 *)&row->own_pending = 0;
	return false;
}

/* `answered`: we say it to the client, too. */
static __always_inline void http_refusal_tell(struct http_connection *row, __u32 kind, bool answered)
{
	struct http_opinion opinion = { .time_ns = bpf_ktime_get_ns(), .rule = row->rule, .verdict = VERDICT_DENY, .status = 403, .exchange = row->numbers++ };

	if (kind >= HTTP_OWN_FAULTS) {
		opinion.rule = 0;
		opinion.fault = row->request.body.fault;
		opinion.status = opinion.fault == HTTP_FAULT_TOO_MANY_FIELDS || opinion.fault == HTTP_FAULT_HEAD_TOO_LARGE ? 431 : 400;
	}
	if (!answered)
		opinion.status = 0;
	http_request_tell(row, &opinion);
}

/* What has been read of a denied request is acknowledged, and leads nowhere. */
static __always_inline int http_swallow(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	__u32 bytes = room->work.at - room->work.begin;

	row->swallowed += bytes;
	row->request_next += bytes;
	row->cut_end = row->request_next;
	*(volatile __u32 *)&row->cut = row->cut + bytes;
	row->phase = http_between(&row->request.body) ? HTTP_READING : HTTP_SWALLOWING;
	return row->swallowed > HTTP_SWALLOWED_MAX ? http_break(skb, row, room, DROP_HTTP_OVER) : http_answer_client(skb, row, room);
}

static __always_inline int http_deny(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	if (!http_inject(row, room->work.kind, false))
		return http_hold(skb, row, room);
	row->swallowed = 0;
	*(volatile __u32 *)&row->cut_before = row->cut;
	*(volatile __u32 *)&row->cut_start = row->request_next;
	http_refusal_tell(row, room->work.kind, true);
	return http_swallow(skb, row, room);
}

/* The last answer, and with it the end: the pod may have a part of what is answered. */
static __noinline int http_close(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	__u32 seq = row->request_next - row->cut;
	int verdict;

	if (!http_inject(row, room->work.kind, true))
		return http_hold(skb, row, room);
	row->phase = HTTP_OVER;
	row->swallowed = 0;
	row->request_fin = !!(room->segment.flags & TCP_FIN);
	row->request_next = room->segment.seq + room->segment.length + row->request_fin;
	http_refusal_tell(row, room->work.kind, true);
	verdict = http_answer_client(skb, row, room);
	return verdict == TC_ACT_SHOT ? verdict : http_reset_pod_too(skb, row, room, seq);
}

static __always_inline int http_take_part(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	__u32 keep = room->work.keep;

	/* It ends with a message. */
	room->before_is_kept = HTTP_KEPT_NOTHING;
	room->before_in_head = 0;
	http_reader_restore(row, room);
	row->request_next += keep - room->work.begin;
	*(volatile __u32 *)&row->asked = room->work.asked;
	return http_cut(skb, room, keep, room->segment.flags & ~(TCP_FIN | TCP_PSH)) ? http_pass(skb, row, room) : http_drop(skb, row, room, DROP_WRITE_ERROR, true);
}

static __always_inline int http_take_all(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	if (room->segment.flags & TCP_FIN)
		row->request_fin = 1;
	row->request_next = room->segment.seq + room->segment.length + row->request_fin;
	*(volatile __u32 *)&row->asked = room->work.asked;
	return http_pass(skb, row, room);
}

/* Carries out what has been decided. */
static __noinline int http_carry_out(struct __sk_buff *skb, struct http_connection *row, struct http_room *room, __u32 decision)
{
	switch (decision) {
	case HTTP_PASS:
		return http_pass(skb, row, room);
	case HTTP_TAKE:
		return http_take_all(skb, row, room);
	case HTTP_CUT:
		return http_take_part(skb, row, room);
	case HTTP_CUT_AGAIN:
		return http_cut(skb, room, room->work.keep, room->segment.flags & ~(TCP_FIN | TCP_PSH)) ? http_pass(skb, row, room) : http_drop(skb, row, room, DROP_WRITE_ERROR, true);
	case HTTP_DENY:
		return http_deny(skb, row, room);
	case HTTP_SWALLOW:
		return http_swallow(skb, row, room);
	case HTTP_AGAIN:
		return http_answer_client(skb, row, room);
	case HTTP_CLOSE:
		return http_close(skb, row, room);
	case HTTP_BREAK:
	case HTTP_CHANGED:
		return http_break(skb, row, room, decision == HTTP_BREAK ? DROP_HTTP_OVER : DROP_HTTP_CHANGED);
	case HTTP_ENDED:
		return room->segment.flags & TCP_RST || !http_reset_client(skb, room) ? TC_ACT_SHOT : http_send_back(skb, room);
	case HTTP_LOST:
		return http_break(skb, row, room, DROP_HTTP_NO_SET);
	case HTTP_UNREADABLE:
		return http_drop(skb, row, room, DROP_HTTP_UNREADABLE, true);
	case HTTP_IGNORE:
		metrics_count(DROP_HTTP_OVER, DIRECTION_INGRESS, skb->len);
		return TC_ACT_SHOT;
	default:
		return http_drop(skb, row, room, DROP_HTTP_HELD, true);
	}
}

/* What is new waits. What is before it may be what the pod has not got, and must not wait for it. */
static __always_inline int http_hold_new(const struct __sk_buff *skb, const struct http_connection *row, struct http_room *room, __u32 old)
{
	if (likely(!old) || sequence_difference(room->segment.seq + old, http_acked(row)) <= 0 || (skb->gso_size && old > skb->gso_size))
		return HTTP_HOLD;
	room->work.keep = old;
	return HTTP_CUT_AGAIN;
}

/* Reads bytes that have not been read yet, from `begin` of the payload on. */
static __always_inline int http_read_segment(struct __sk_buff *skb, struct http_connection *row, struct http_room *room)
{
	struct http_look look = { .skb = skb, .row = row, .room = room };
	struct http_work *work = &room->work;

	work->at = work->head = work->run = work->begin;
	work->head_is_here = work->keep = work->kind = 0;
	work->decision = HTTP_READ;
	work->ranges = row->range_count;
	work->asked = row->asked;
	work->phase = row->phase;
	work->fits = work->begin;
	room->before_in_head = row->in_head;
	room->before_is_kept = HTTP_KEPT_NOTHING;
	if (unlikely(row->in_head || skb->gso_size)) {
		room->before_is_kept = HTTP_KEPT_ALL;
		__builtin_memcpy(&room->before, &row->request, sizeof(room->before));
	} else if (!http_between(&row->request.body)) {
		room->before_is_kept = HTTP_KEPT_BODY;
		room->before.body = row->request.body;
	}
	bpf_loop(HTTP_STEPS, http_request_step, &look, 0);
	if (work->decision == HTTP_READ && work->phase == HTTP_SWALLOWING)
		return HTTP_SWALLOW;
	if (likely(work->decision == HTTP_READ)) {
		/* There were more stops than anybody could want. */
		if (work->at != room->segment.length)
			return HTTP_BREAK;
		if (likely(http_run_end(&look, work->at)))
			return HTTP_TAKE;
		work->decision = HTTP_HOLD;
	}
	/* Of what is longer than the device takes in one piece only that much can be left; or it comes again in smaller ones. */
	if (work->decision == HTTP_CUT && skb->gso_size && work->keep > skb->gso_size) {
		work->keep = work->fits;
		work->asked = work->fits_asked;
		if (work->fits == work->begin)
			work->decision = HTTP_HOLD;
	}
	if (work->decision == HTTP_CUT) {
		http_ranges_forget(&look, work->keep);
		if (!http_run_end(&look, work->keep))
			work->decision = HTTP_HOLD;
	}
	if (work->decision == HTTP_BREAK)
		http_refusal_tell(row, work->kind, false);
	if (work->decision == HTTP_HOLD) {
		http_ranges_forget(&look, work->begin);
		http_reader_restore(row, room);
		return http_hold_new(skb, row, room, work->begin);
	}
	return work->decision;
}
