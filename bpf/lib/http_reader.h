/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reads the bytes of one direction of an HTTP/1.1 connection, in order, however they are cut; strictly, as src/proxy/http1 does. */
#pragma once

#include "http.h"

/* Where a reader has stopped. */
enum http_stop {
	HTTP_MORE = 0,		/* all bytes have been read */
	HTTP_OPAQUE = 1,	/* the next `opaque` bytes need no reading: http_skip() */
	HTTP_HEAD = 2,		/* behind a head */
	HTTP_END = 3,		/* behind a message: the next byte begins another */
	HTTP_FAULT = 4,		/* `fault` says why; nothing may follow */
};

struct http_reader {
	__u64 opaque;
	__u32 fault;
	__u32 pad;
};
