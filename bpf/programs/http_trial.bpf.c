// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The readers of http_reader.h on a stream from user space, for tests: cut where the caller says, as segments are. The context is a struct
 * http_trial_input, what was found lies in http_trials. No agent loads it.
 */
#include "http_reader.h"

#define HTTP_TRIAL_EVENTS 128
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
	__u32 pad;
};

struct http_trial_event {
	__u64 passes;		/* of a head: bits of the rules that let it pass */
	__u64 length;		/* of its body, where that is known */
	__u32 at;		/* bytes of the stream before this */
	__u32 flags;		/* enum http_flag */
	__u8 kind;		/* enum http_trial_kind */
	__u8 fault;		/* enum http_fault */
	__u8 minor;
	__u8 pad[5];
};

struct http_trial {
	__u32 at;
	__u32 cut;
	__u32 piece_end;
	__u32 count;		/* of events; those that have no room are counted all the same */
	__u32 heads;
	__u32 pad;
	struct http_trial_event events[HTTP_TRIAL_EVENTS];
	struct http_reader reader;
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

/* False: nothing more is read. */
static __always_inline bool http_trial_step(struct http_trial *trial, const struct http_trial_input *input)
{
	struct http_reader *reader = &trial->reader;
	const struct http_set *set;
	enum http_stop stop;
	__u64 length;

	if (trial->at >= trial->piece_end)
		http_trial_cut(trial, input);
	length = trial->piece_end > trial->at ? trial->piece_end - trial->at : 0;
	if (http_is_opaque(&reader->body)) {
		length = length < reader->body.opaque ? length : reader->body.opaque;
		http_skip(&reader->body, length);
		trial->at += length;
		if (http_between(&reader->body))
			http_trial_tell(trial, HTTP_TRIAL_END, &reader->body);
		return trial->at < input->length;
	}
	set = http_set_find(http_set_of(reader, input->set));
	if (!set)
		return false;
	length = opaque(length < HTTP_CHUNK ? length : HTTP_CHUNK);
	if (length > HTTP_CHUNK || bpf_copy_from_user(trial->chunk.bytes, length, (const void *)(input->stream + trial->at)))
		return false;
	trial->at += http_read_request(reader, set, &trial->chunk, length, &stop);
	if (stop == HTTP_HEAD) {
		http_trial_tell(trial, HTTP_TRIAL_HEAD, &reader->body);
		if (++trial->heads == input->heads)
			return false;
	} else if (stop == HTTP_END) {
		http_trial_tell(trial, HTTP_TRIAL_END, &reader->body);
	} else if (stop == HTTP_FAULT) {
		http_trial_tell(trial, HTTP_TRIAL_FAULT, &reader->body);
		return false;
	}
	return trial->at < input->length;
}

static __always_inline void http_trial_clear(struct http_trial *trial)
{
	__u32 i;

	trial->at = trial->cut = trial->piece_end = trial->count = trial->heads = 0;
	http_each(i, 0, sizeof(struct http_reader) / 8)
		if (i < sizeof(struct http_reader) / 8)
			((__u64 *)&trial->reader)[i] = 0;
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
	http_each(i, 0, HTTP_TRIAL_STEPS)
		if (i < 0 || !http_trial_step(trial, &input))
			break;
	return trial->count;
}
