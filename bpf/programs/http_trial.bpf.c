// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The readers of http_reader.h on a stream from user space, for tests: cut where the caller says, as segments are. The context is a struct
 * http_trial_input, what was found lies in http_trials. No agent loads it.
 */
#include "http_reader.h"

#define HTTP_TRIAL_EVENTS 256
#define HTTP_TRIAL_STEPS  (1 << 22)

enum http_trial_kind {
	HTTP_TRIAL_HEAD = 1,
	HTTP_TRIAL_END = 2,
	HTTP_TRIAL_FAULT = 3,
};

struct http_trial_input {
	__u64 stream;		/* address of the bytes */
	__u64 cuts;		/* address of places, __u32 each and ascending, where the stream is cut */
	__u32 length;
	__u32 cut_count;
	__u32 piece;		/* not 0: cut behind each of so many bytes instead */
	__u32 set;		/* number in http_sets */
	__u32 heads;		/* stops behind so many; 0: never */
	__u32 times;		/* not 0: the stream is one head that fits into a chunk, and is read so often; what that takes is its caller's to measure */
	__u64 asked;		/* address of a byte for each request whose answers these are: bits of enum http_trial_asked; 0: the stream is requests */
	__u32 asked_count;
	__u32 pad2;
};

enum http_trial_asked {
	HTTP_TRIAL_HEAD_ONLY = 1,
	HTTP_TRIAL_UPGRADE = 2,
};

struct http_trial_event {
	__u64 passes;		/* of a head: bits of the rules that let it pass */
	__u64 length;		/* of its body, where that is known */
	__u32 at;		/* bytes of the stream before this */
	__u32 flags;		/* enum http_flag */
	__u8 kind;		/* enum http_trial_kind */
	__u8 fault;		/* enum http_fault */
	__u8 minor;
	__u8 pad;
	__u16 status;		/* of an answer */
	__u16 pad2;
};

struct http_trial {
	__u32 at;
	__u32 cut;
	__u32 piece_end;
	__u32 count;		/* of events; those that have no room are counted all the same */
	__u32 heads;
	__u32 answered;
	struct http_trial_event events[HTTP_TRIAL_EVENTS];
	struct http_reader reader;
	struct http_answer_reader answer;
	struct http_chunk chunk;
};

/* The program below writes, tests read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_trial);
} http_trials SEC(".maps");

static __always_inline void http_trial_tell(struct http_trial *trial, enum http_trial_kind kind, const struct http_body *body)
{
	__u32 at = trial->count++;
	struct http_trial_event *event;

	if (at >= HTTP_TRIAL_EVENTS)
		return;
	event = &trial->events[at];
	event->kind = kind;
	event->at = trial->at;
	event->fault = body->fault;
	event->flags = body->flags;
	event->minor = body->minor;
	event->length = body->content_length;
	event->passes = kind == HTTP_TRIAL_HEAD ? http_passes(&trial->reader) : 0;
	event->status = trial->answer.status;
}

/* Where the next piece ends. */
static __always_inline void http_trial_cut(struct http_trial *trial, const struct http_trial_input *input)
{
	__u32 end = input->length;

	if (input->piece)
		end = trial->at + input->piece;
	else if (trial->cut < input->cut_count)
		bpf_copy_from_user(&end, sizeof(end), (const void *)(input->cuts + 4ULL * trial->cut++));
	trial->piece_end = end < input->length ? end : input->length;
}

/* Of the piece, as much as a reader takes; 0: nothing could be copied. */
static __always_inline __u32 http_trial_fill(struct http_trial *trial, const struct http_trial_input *input, __u64 length)
{
	length = opaque(length < HTTP_CHUNK ? length : HTTP_CHUNK);
	if (length > HTTP_CHUNK || bpf_copy_from_user(trial->chunk.bytes, length, (const void *)(input->stream + trial->at)))
		return 0;
	return length;
}

/* False: nothing more is read. */
static __always_inline bool http_trial_stopped(struct http_trial *trial, const struct http_trial_input *input, const struct http_body *body, enum http_stop stop)
{
	if (stop == HTTP_HEAD) {
		http_trial_tell(trial, HTTP_TRIAL_HEAD, body);
		if (http_between(body) && !(body->flags & HTTP_INTERIM))
			trial->answered++;
		if (++trial->heads == input->heads)
			return false;
	} else if (stop == HTTP_END) {
		http_trial_tell(trial, HTTP_TRIAL_END, body);
		trial->answered++;
	} else if (stop == HTTP_FAULT) {
		http_trial_tell(trial, HTTP_TRIAL_FAULT, body);
		return false;
	}
	return trial->at < input->length;
}

/* Whose answer it is; false: nobody's. */
static __always_inline bool http_trial_asks(struct http_trial *trial, const struct http_trial_input *input)
{
	__u8 asked = 0;

	if (!http_between(&trial->answer.body))
		return true;
	if (trial->answered >= input->asked_count || bpf_copy_from_user(&asked, 1, (const void *)(input->asked + trial->answered))) {
		trial->answer.body.fault = HTTP_FAULT_UNASKED;
		return false;
	}
	trial->answer.head_only = !!(asked & HTTP_TRIAL_HEAD_ONLY);
	trial->answer.upgrade = !!(asked & HTTP_TRIAL_UPGRADE);
	return true;
}

static __always_inline bool http_trial_step(struct http_trial *trial, const struct http_trial_input *input)
{
	struct http_body *body = input->asked ? &trial->answer.body : &trial->reader.body;
	const struct http_set *set;
	enum http_stop stop;
	__u64 length;

	if (trial->at >= trial->piece_end)
		http_trial_cut(trial, input);
	length = trial->piece_end > trial->at ? trial->piece_end - trial->at : 0;
	if (http_is_opaque(body)) {
		length = length < body->opaque ? length : body->opaque;
		http_skip(body, length);
		trial->at += length;
		return http_trial_stopped(trial, input, body, http_between(body) ? HTTP_END : HTTP_MORE);
	}
	if (input->asked) {
		if (!http_trial_asks(trial, input))
			return http_trial_stopped(trial, input, body, HTTP_FAULT);
		length = http_trial_fill(trial, input, length);
		trial->at += http_read_answer(&trial->answer, &trial->chunk, length, &stop);
		return http_trial_stopped(trial, input, body, stop);
	}
	set = http_set_find(http_set_of(&trial->reader, input->set));
	if (!set)
		return false;
	length = http_trial_fill(trial, input, length);
	trial->at += http_read_request(&trial->reader, set, &trial->chunk, length, &stop);
	return http_trial_stopped(trial, input, body, stop);
}

static __always_inline void http_trial_clear(struct http_trial *trial)
{
	__u32 i;

	trial->at = trial->cut = trial->piece_end = trial->count = trial->heads = trial->answered = 0;
	http_each(i, 0, sizeof(struct http_reader) / 8)
		if (i < sizeof(struct http_reader) / 8)
			((__u64 *)&trial->reader)[i] = 0;
	http_each(i, 0, sizeof(struct http_answer_reader) / 8)
		if (i < sizeof(struct http_answer_reader) / 8)
			((__u64 *)&trial->answer)[i] = 0;
}

/* One head, over and over. */
static __always_inline int http_trial_repeat(struct http_trial *trial, const struct http_trial_input *input)
{
	const struct http_set *set = http_set_find(input->set);
	__u32 length = http_trial_fill(trial, input, input->length);
	enum http_stop stop;
	int i;

	if (!set || !length)
		return -1;
	http_each(i, 0, HTTP_TRIAL_STEPS) {
		if (i < 0 || i >= input->times)
			break;
		if (input->asked)
			http_read_answer(&trial->answer, &trial->chunk, length, &stop);
		else
			http_read_request(&trial->reader, set, &trial->chunk, length, &stop);
		if (stop != HTTP_HEAD)
			return -1;
		/* Its body does not come. */
		trial->answer.body.place = trial->reader.body.place = HTTP_AT_START;
		trial->count++;
	}
	return trial->count;
}

/* Number of events, or -1. */
SEC("syscall")
int http_trial(struct http_trial_input *context)
{
	struct http_trial_input input = *context;
	__u32 zero = 0;
	int i;
	struct http_trial *trial = bpf_map_lookup_elem(&http_trials, &zero);

	if (!trial)
		return -1;
	http_trial_clear(trial);
	if (!input.length)
		return 0;
	if (input.times)
		return http_trial_repeat(trial, &input);
	http_each(i, 0, HTTP_TRIAL_STEPS)
		if (i < 0 || !http_trial_step(trial, &input))
			break;
	return trial->count;
}
