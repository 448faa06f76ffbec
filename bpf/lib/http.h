/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * HTTP/1.1 without a proxy. Of a connection to a pod that policy restricts at layer 7, and that the kernel can carry out, each request is
 * read as its segments pass, and judged at the last byte of its head:
 *
 *     client ── from_pod, from_overlay, from_network ──► http_to_pod ──► pod
 *     client ◄── from_pod ◄── http_from_pod ◄── pod
 *
 * http_to_pod is jumped to, where http_readers leads to it; else it is met where it stands, as http_from_pod, at the host's side of the
 * pod's veth, before to_pod and from_pod. Decided at connection time: what the tables of a
 * set cannot say, and whom they were not written for, is the node's proxy's (proxy.h).
 */
#pragma once

#include "proxy.h"

#define MARK_TO_READER 0x0500	/* to a pod's device, of a connection with a row in http_connections */
#define MARK_READ_HERE 0x0600	/* the same, before a program jumps to http_to_pod: cb[0] is the device, by its host side */

#define HTTP_RULES  64		/* one bit each */
#define HTTP_FIELDS 16		/* header fields that rules ask for */
#define HTTP_MASKS  1024
#define HTTP_CELLS  65536

/* What a field's name means to the reader: low byte of the mask that the automaton of names accepts with. */
enum http_name {
	HTTP_NAME_OTHER = 0,
	HTTP_NAME_HOST = 1,
	HTTP_NAME_CONTENT_LENGTH = 2,
	HTTP_NAME_TRANSFER_ENCODING = 3,
	HTTP_NAME_CONNECTION = 4,
	HTTP_NAME_UPGRADE = 5,
	HTTP_NAME_EXPECT = 6,
	HTTP_NAME_TRACEPARENT = 7,
};

/*
 * A set's rules as automata that share one table. A state is a row of cells: `columns` cells with the rows of the next states, by the class
 * of the byte, then one with the number of a mask. A row is named by its first cell's index; row 0 is dead, and leads to itself. A mask of a
 * method, path, host or field says which rules hold as far as that is concerned; a rule that does not ask holds in each of them. Which rules
 * let the request pass is what is left of all of them, and the lowest bit decides.
 *
 * Of the automaton of names (in any case of letters) a mask is no set of rules: the low byte is an enum http_name, the next byte the place
 * in `fields` and one, or 0.
 */
struct http_field {
	__u16 start;		/* row of the automaton of its value: several of one name are joined with ',' */
	__u16 pad[3];
	__u64 absent;		/* rules that hold where the request has no such field */
};
_Static_assert(sizeof(struct http_field) == 16, "http_field");

struct http_set {
	__u16 columns;		/* cells of a row without its last one: classes of bytes */
	__u16 method;		/* rows where the automata begin */
	__u16 path;
	__u16 host;
	__u16 names;
	__u16 field_count;
	__u16 rule_count;
	__u16 pad;
	__u64 no_path;		/* rules that hold for a request without a path, or a host */
	__u64 no_host;
	struct http_field fields[HTTP_FIELDS];
	__u32 rules[HTTP_RULES];	/* ids, as flows bear them */
	__u64 masks[HTTP_MASKS];	/* number 0: none */
	__u8 class_of[256];
	__u16 cells[HTTP_CELLS];
	__u32 initials;		/* of `fields`: bits by letters of the alphabet, the highest one if a name begins with something else */
	__u32 asks_host;	/* else the automaton of hosts stays where it begins, whatever it reads */
};

struct http_set_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct http_set);
};

/* The agent writes, by the number of the layer 7 set, before a verdict's row names it. A number never changes its meaning. No row: the proxy's. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 512);
	__type(key, __u32);
	__array(values, struct http_set_map);
} http_sets SEC(".maps");

static __always_inline const struct http_set *http_set_find(__u32 number)
{
	void *map = bpf_map_lookup_elem(&http_sets, &number);
	__u32 zero = 0;

	return map ? bpf_map_lookup_elem(map, &zero) : NULL;
}

static __always_inline __u32 http_step(const struct http_set *set, __u32 row, __u32 byte)
{
	return set->cells[(__u16)(row + set->class_of[byte & 255])];
}

/* Which rules hold where a text ends in this row; of the automaton of names, what the name means. */
static __always_inline __u64 http_mask(const struct http_set *set, __u32 row)
{
	return set->masks[set->cells[(__u16)(row + set->columns)] & (HTTP_MASKS - 1)];
}
