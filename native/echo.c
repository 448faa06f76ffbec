/*
 * cirri-echo: the server that demos and tests run in hundreds of pods, so it is one process of a few hundred kilobytes.
 *
 *   cirri-echo [--tcp PORT]... [--http PORT]... [--udp PORT]... [--drain SECONDS]     default: --tcp 8080 --udp 8080
 *   cirri-echo sleep                                                                  waits, and reaps as a pod's init
 *
 * HTTP/1.x is answered with a JSON object: pod, namespace, node, protocol, peer, peerPort, local, localPort, method, path,
 * host, headers, bodyBytes. Anything else on a --tcp port gets the same object as one line and then its own bytes back; a
 * datagram gets that line with its own bytes after it. Paths with a meaning: /status/CODE, /delay/MS, /bytes/N.
 * SIGTERM: no new connections, what is being answered is finished, then exit; at the latest after --drain (20) seconds.
 *
 * A connection is  DETECT ─► HEAD ─► BODY ─► (delay) ─► ANSWER ─► HEAD …      or      DETECT ─► RAW
 * and its buffers exist only while it has bytes in flight.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	HEAD_MAX = 16 * 1024, HEADERS_MAX = 100, PORTS_MAX = 64, CONNECTIONS_MAX = 8192, DATAGRAM_MAX = 65507,
	/* Worst case of a head in JSON: every byte becomes \u00XX. */
	ANSWER_MAX = HEAD_MAX * 6 + 4096,
	CHUNK = 16 * 1024,
};

enum kind { LISTENER, DATAGRAMS, CONNECTION, SIGNALS };
enum state { DETECT, HEAD, BODY, DELAY, ANSWER, RAW };
enum chunk_state { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_END, TRAILER_START, TRAILER };

struct end {
	enum kind kind;
	int fd;
	bool http_only;
	/* Connections only, from here. */
	enum state state;
	bool keep_alive, head_only, chunked, peer_closed, waits_for_write;
	enum chunk_state chunk_state;
	int status;
	uint64_t body_left, body_bytes, fill_left;
	int64_t due_ms;
	char *in, *out;
	size_t in_used, out_used, out_sent, out_room;
	struct end *next, **link;
};

struct span {
	const char *at;
	size_t length;
};

static struct end *connections, *garbage;
static int connection_count, delayed_count, epoll_fd;
static bool stopping;
static const char *pod_name, *pod_namespace, *node_name;

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- JSON into a bounded buffer; what does not fit is left out, and the room is sized so that everything fits --------- */

struct text {
	char *at;
	size_t used, room;
};

static void put(struct text *t, const char *bytes, size_t length)
{
	if (length > t->room - t->used) length = t->room - t->used;
	memcpy(t->at + t->used, bytes, length);
	t->used += length;
}

static void put_string(struct text *t, const char *string)
{
	put(t, string, strlen(string));
}

/* Length of the well-formed UTF-8 sequence at `s`, 0 if there is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	if (n == 0 || n > left) return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80) return 0;
	if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))) return 0;
	if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))) return 0;
	return n;
}

static void put_json_bytes(struct text *t, const char *bytes, size_t length, bool lower)
{
	for (size_t i = 0; i < length;) {
		unsigned char c = bytes[i];
		size_t n = utf8_length((const unsigned char *)bytes + i, length - i);
		char escaped[8];
		if (c == '"' || c == '\\') {
			escaped[0] = '\\';
			escaped[1] = c;
			put(t, escaped, 2);
		} else if (c < 0x20 || c == 0x7f || n == 0) {
			snprintf(escaped, sizeof escaped, "\\u%04x", c);
			put(t, escaped, 6);
		} else if (lower && c >= 'A' && c <= 'Z') {
			escaped[0] = c + 32;
			put(t, escaped, 1);
		} else {
			put(t, bytes + i, n);
		}
		i += n > 0 ? n : 1;
	}
}

static void put_field(struct text *t, const char *name, const char *value)
{
	put_string(t, t->used > 0 && t->at[t->used - 1] != '{' ? ",\"" : "\"");
	put_string(t, name);
	put_string(t, "\":\"");
	put_json_bytes(t, value, strlen(value), false);
	put_string(t, "\"");
}

static void put_number(struct text *t, const char *name, uint64_t value)
{
	char digits[64];
	snprintf(digits, sizeof digits, ",\"%s\":%llu", name, (unsigned long long)value);
	put_string(t, digits);
}

static void put_address(struct text *t, const char *name, const char *port_name, const struct sockaddr_storage *address)
{
	char ip[INET6_ADDRSTRLEN] = "";
	unsigned port = 0;
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
		port = ntohs(in->sin_port);
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, ip, sizeof ip);
		else inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
		port = ntohs(in6->sin6_port);
	}
	put_field(t, name, ip);
	put_number(t, port_name, port);
}

/* Opens the object and leaves it open. */
static void put_info(struct text *t, const char *protocol, const struct sockaddr_storage *peer, const struct sockaddr_storage *local)
{
	put_string(t, "{");
	put_field(t, "pod", pod_name);
	put_field(t, "namespace", pod_namespace);
	put_field(t, "node", node_name);
	put_field(t, "protocol", protocol);
	put_address(t, "peer", "peerPort", peer);
	put_address(t, "local", "localPort", local);
}

static void put_connection_info(struct text *t, const char *protocol, int fd)
{
	struct sockaddr_storage peer = { 0 }, local = { 0 };
	socklen_t length = sizeof peer;
	getpeername(fd, (struct sockaddr *)&peer, &length);
	length = sizeof local;
	getsockname(fd, (struct sockaddr *)&local, &length);
	put_info(t, protocol, &peer, &local);
}

/* ---- connections ------------------------------------------------------------------------------------------------------ */

static void want(struct end *e, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = e };
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, e->fd, &event);
}

static bool add(struct end *e)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, e->fd, &event) == 0;
}

/* Freed after the batch of events: a later event of the same batch may still name it. */
static void drop(struct end *e)
{
	if (e->fd < 0) return;
	close(e->fd);
	e->fd = -1;
	if (e->state == DELAY) delayed_count--;
	free(e->in);
	free(e->out);
	e->in = e->out = NULL;
	*e->link = e->next;
	if (e->next) e->next->link = e->link;
	connection_count--;
	e->next = garbage;
	garbage = e;
}

static void collect_garbage(void)
{
	while (garbage) {
		struct end *e = garbage;
		garbage = e->next;
		free(e);
	}
}

static void accept_all(struct end *listener)
{
	for (;;) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) return;
		struct end *e = connection_count < CONNECTIONS_MAX ? calloc(1, sizeof *e) : NULL;
		if (!e) {
			close(fd);
			continue;
		}
		int on = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		e->kind = CONNECTION;
		e->fd = fd;
		e->http_only = listener->http_only;
		e->state = e->http_only ? HEAD : DETECT;
		e->next = connections;
		e->link = &connections;
		if (connections) connections->link = &e->next;
		connections = e;
		connection_count++;
		if (!add(e)) drop(e);
	}
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------------- */

/* 1: it is a request, 0: not yet to be told, -1: it is something else. */
static int looks_like_http(const char *bytes, size_t length)
{
	static const char *const methods[] = { "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "PATCH ", "OPTIONS ", "TRACE ", "CONNECT " };
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
		size_t n = strlen(methods[i]);
		if (memcmp(bytes, methods[i], length < n ? length : n) == 0) return length >= n;
	}
	return -1;
}

static bool span_is(struct span s, const char *word)
{
	return s.length == strlen(word) && strncasecmp(s.at, word, s.length) == 0;
}

static bool span_has(struct span s, const char *word)
{
	size_t n = strlen(word);
	for (size_t i = 0; i + n <= s.length; i++)
		if (strncasecmp(s.at + i, word, n) == 0) return true;
	return false;
}

static struct span trim(const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t')) from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r')) to--;
	return (struct span){ from, to - from };
}

static bool span_number(struct span s, uint64_t *value)
{
	*value = 0;
	if (s.length == 0 || s.length > 18) return false;
	for (size_t i = 0; i < s.length; i++) {
		if (s.at[i] < '0' || s.at[i] > '9') return false;
		*value = *value * 10 + (s.at[i] - '0');
	}
	return true;
}

struct request {
	struct span method, path, version, host;
	struct span names[HEADERS_MAX], values[HEADERS_MAX];
	int count;
	bool has_length, expects_continue;
};

/* The head up to and without the empty line. False: not HTTP/1.x as RFC 9112 wants it. */
static bool parse_head(struct request *q, struct end *e, const char *head, size_t length)
{
	const char *limit = head + length;
	const char *line_end = memchr(head, '\n', length);
	if (!line_end) line_end = limit;
	struct span line = trim(head, line_end);
	const char *first = memchr(line.at, ' ', line.length);
	const char *last = memrchr(line.at, ' ', line.length);
	if (!first || first == last || first == line.at) return false;
	q->method = (struct span){ line.at, first - line.at };
	q->path = (struct span){ first + 1, last - first - 1 };
	q->version = (struct span){ last + 1, line.at + line.length - last - 1 };
	if (q->version.length != 8 || strncmp(q->version.at, "HTTP/1.", 7) != 0) return false;
	e->keep_alive = q->version.at[7] != '0';
	e->head_only = span_is(q->method, "HEAD");
	e->chunked = false;
	e->body_left = e->body_bytes = 0;
	for (const char *at = line_end + 1; at < limit;) {
		const char *end = memchr(at, '\n', limit - at);
		if (!end) end = limit;
		const char *colon = memchr(at, ':', end - at);
		if (!colon || colon == at || q->count == HEADERS_MAX) return false;
		struct span name = { at, colon - at }, value = trim(colon + 1, end);
		if (memchr(name.at, ' ', name.length) || memchr(name.at, '\t', name.length)) return false;
		q->names[q->count] = name;
		q->values[q->count++] = value;
		if (span_is(name, "host")) q->host = value;
		else if (span_is(name, "connection")) e->keep_alive = span_has(value, "close") ? false : e->keep_alive || span_has(value, "keep-alive");
		else if (span_is(name, "expect")) q->expects_continue = span_has(value, "100-continue");
		else if (span_is(name, "transfer-encoding")) e->chunked = span_has(value, "chunked");
		else if (span_is(name, "content-length")) {
			uint64_t before = e->body_left;
			if (!span_number(value, &e->body_left) || (q->has_length && before != e->body_left)) return false;
			q->has_length = true;
		}
		at = end + 1;
	}
	/* Both at once is how requests are smuggled (RFC 9112 §6.1). */
	return !(e->chunked && q->has_length);
}

static bool same_name(struct span a, struct span b)
{
	return a.length == b.length && strncasecmp(a.at, b.at, a.length) == 0;
}

static void put_headers(struct text *t, const struct request *q)
{
	put_string(t, ",\"headers\":{");
	for (int i = 0, written = 0; i < q->count; i++) {
		bool repeated = false;
		for (int j = 0; j < i; j++) repeated |= same_name(q->names[i], q->names[j]);
		if (repeated) continue;
		put_string(t, written++ ? ",\"" : "\"");
		put_json_bytes(t, q->names[i].at, q->names[i].length, true);
		put_string(t, "\":\"");
		for (int j = i; j < q->count; j++) {
			if (!same_name(q->names[i], q->names[j])) continue;
			if (j > i) put_string(t, ", ");
			put_json_bytes(t, q->values[j].at, q->values[j].length, false);
		}
		put_string(t, "\"");
	}
	put_string(t, "}");
}

static void put_span(struct text *t, const char *name, struct span value)
{
	put_string(t, ",\"");
	put_string(t, name);
	put_string(t, "\":\"");
	put_json_bytes(t, value.at, value.length, false);
	put_string(t, "\"");
}

/* /status/CODE, /delay/MS and /bytes/N; anything else leaves the defaults. */
static void take_wishes(struct end *e, struct span path, uint64_t *delay_ms, uint64_t *fill, bool *filled)
{
	static const char *const words[] = { "/status/", "/delay/", "/bytes/" };
	for (int i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);
		uint64_t value;
		const char *query = memchr(path.at, '?', path.length);
		struct span rest = { path.at + n, (query ? (size_t)(query - path.at) : path.length) - n };
		if (path.length <= n || memcmp(path.at, words[i], n) != 0 || (query && query < path.at + n) || !span_number(rest, &value)) continue;
		if (i == 0 && value >= 200 && value < 600) e->status = value;
		if (i == 1) *delay_ms = value < 600000 ? value : 600000;
		if (i == 2) {
			*fill = value;
			*filled = true;
		}
	}
}

static const char *status_text(int status)
{
	switch (status) {
	case 200: return "OK";
	case 204: return "No Content";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 500: return "Internal Server Error";
	case 503: return "Service Unavailable";
	default: return "Status";
	}
}

static bool reserve(struct end *e, size_t room)
{
	if (e->out_room - e->out_used >= room) return true;
	char *bigger = realloc(e->out, e->out_used + room);
	if (!bigger) return false;
	e->out = bigger;
	e->out_room = e->out_used + room;
	return true;
}

/* Appends the answer; its body was written by `body` (bodyBytes is closed here, when the body has been read). */
static bool put_answer(struct end *e, const char *body, size_t length, uint64_t fill, bool filled)
{
	char head[256];
	bool bodiless = e->status == 204 || e->status == 304;
	if (stopping) e->keep_alive = false;
	uint64_t total = bodiless ? 0 : filled ? fill : length;
	int n = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\n", e->status, status_text(e->status), filled ? "application/octet-stream" : "application/json");
	if (!bodiless) n += snprintf(head + n, sizeof head - n, "content-length: %llu\r\n", (unsigned long long)total);
	n += snprintf(head + n, sizeof head - n, "connection: %s\r\n\r\n", e->keep_alive ? "keep-alive" : "close");
	if (!reserve(e, n + length)) return false;
	memcpy(e->out + e->out_used, head, n);
	e->out_used += n;
	if (bodiless || e->head_only) return true;
	if (filled) {
		e->fill_left = fill;
	} else {
		memcpy(e->out + e->out_used, body, length);
		e->out_used += length;
	}
	return true;
}

static bool refuse(struct end *e, int status)
{
	static const char body[] = "{\"error\":\"not a request that this server reads\"}\n";
	e->status = status;
	e->keep_alive = false;
	e->head_only = false;
	e->in_used = 0;
	e->state = ANSWER;
	return put_answer(e, body, sizeof body - 1, 0, false);
}

/* Finds the empty line; returns the head's length with it, 0 when it is not all there. */
static size_t head_length(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] != '\n') continue;
		if (i + 1 < length && bytes[i + 1] == '\n') return i + 2;
		if (i + 2 < length && bytes[i + 1] == '\r' && bytes[i + 2] == '\n') return i + 3;
	}
	return 0;
}

static void consume(struct end *e, size_t length)
{
	memmove(e->in, e->in + length, e->in_used - length);
	e->in_used -= length;
}

/* The answer is composed from the head at once (its bytes go away with the buffer) and sent when the body has been read. */
static bool take_head(struct end *e)
{
	static char answer[ANSWER_MAX];
	struct request q = { 0 };
	struct text t = { answer, 0, sizeof answer - 4 };
	uint64_t delay_ms = 0, fill = 0;
	bool filled = false;
	while (e->in_used > 0 && (e->in[0] == '\r' || e->in[0] == '\n')) consume(e, 1);
	size_t length = head_length(e->in, e->in_used);
	if (length == 0) return e->in_used < HEAD_MAX ? false : refuse(e, 431);
	if (!parse_head(&q, e, e->in, length - 1 - (length > 1 && e->in[length - 2] == '\r'))) return refuse(e, 400);
	e->status = 200;
	take_wishes(e, q.path, &delay_ms, &fill, &filled);
	put_connection_info(&t, "HTTP", e->fd);
	put_span(&t, "method", q.method);
	put_span(&t, "path", q.path);
	put_span(&t, "host", q.host);
	put_number(&t, "bodyBytes", e->chunked ? 0 : e->body_left);
	put_headers(&t, &q);
	t.room = sizeof answer;
	put_string(&t, "}\n");
	if (q.expects_continue && reserve(e, 32)) {
		static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
		if (send(e->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN) return false;
	}
	consume(e, length);
	if (!put_answer(e, answer, t.used, fill, filled)) return false;
	e->due_ms = delay_ms ? now_ms() + (int64_t)delay_ms : 0;
	e->chunk_state = CHUNK_SIZE;
	e->state = BODY;
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Reads chunks off the input. 1: the last one has been read, 0: more to come, -1: not chunks. */
static int take_chunks(struct end *e)
{
	size_t i = 0;
	int result = 0;
	while (i < e->in_used && result == 0) {
		char c = e->in[i];
		switch (e->chunk_state) {
		case CHUNK_SIZE:
			if (hex_digit(c) >= 0 && e->body_left < (1ull << 56)) e->body_left = e->body_left * 16 + hex_digit(c);
			else if (c == '\n') e->chunk_state = e->body_left ? CHUNK_DATA : TRAILER_START;
			else if (c == ';' || c == '\r' || c == ' ') e->chunk_state = CHUNK_EXTENSION;
			else result = -1;
			i++;
			break;
		case CHUNK_EXTENSION:
			if (c == '\n') e->chunk_state = e->body_left ? CHUNK_DATA : TRAILER_START;
			i++;
			break;
		case CHUNK_DATA: {
			size_t n = e->in_used - i;
			if (n > e->body_left) n = e->body_left;
			i += n;
			e->body_left -= n;
			if (e->body_left == 0) e->chunk_state = CHUNK_DATA_END;
			break;
		}
		case CHUNK_DATA_END:
			if (c == '\n') e->chunk_state = CHUNK_SIZE;
			else if (c != '\r') result = -1;
			i++;
			break;
		case TRAILER_START:
			if (c == '\n') result = 1;
			else if (c != '\r') e->chunk_state = TRAILER;
			i++;
			break;
		case TRAILER:
			if (c == '\n') e->chunk_state = TRAILER_START;
			i++;
			break;
		}
	}
	consume(e, i);
	return result;
}

/* True when the state changed. */
static bool take_body(struct end *e)
{
	if (e->chunked) {
		int result = take_chunks(e);
		if (result < 0) {
			e->out_used = 0;
			e->fill_left = 0;
			return refuse(e, 400);
		}
		if (result == 0) return false;
	} else {
		size_t n = e->in_used < e->body_left ? e->in_used : e->body_left;
		consume(e, n);
		e->body_left -= n;
		if (e->body_left > 0) return false;
	}
	e->state = e->due_ms ? DELAY : ANSWER;
	if (e->state == DELAY) delayed_count++;
	return true;
}

/* ---- the turn of a connection ------------------------------------------------------------------------------------------- */

/* True when all is out. */
static bool send_out(struct end *e)
{
	for (;;) {
		if (e->out_sent == e->out_used) {
			e->out_sent = e->out_used = 0;
			if (e->fill_left == 0) return true;
			size_t n = e->fill_left < CHUNK ? e->fill_left : CHUNK;
			if (!reserve(e, n)) return true;
			memset(e->out, 'x', n);
			e->out_used = n;
			e->fill_left -= n;
		}
		ssize_t n = send(e->fd, e->out + e->out_sent, e->out_used - e->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno == EAGAIN) return false;
		if (n < 0) {
			drop(e);
			return false;
		}
		e->out_sent += n;
	}
}

static void release_buffers(struct end *e)
{
	if (e->in_used == 0) {
		free(e->in);
		e->in = NULL;
	}
	free(e->out);
	e->out = NULL;
	e->out_room = 0;
}

static bool start_raw(struct end *e)
{
	struct text t = { NULL, 0, 1024 };
	if (!reserve(e, t.room)) return false;
	t.at = e->out + e->out_used;
	put_connection_info(&t, "TCP", e->fd);
	put_string(&t, "}\n");
	e->out_used += t.used;
	e->state = RAW;
	return true;
}

/* Goes on until it needs the network or the clock. */
static void advance(struct end *e)
{
	for (bool moved = true; moved && e->fd >= 0;) {
		moved = false;
		switch (e->state) {
		case DETECT: {
			int http = e->in_used ? looks_like_http(e->in, e->in_used) : 0;
			if (http > 0) e->state = HEAD;
			moved = http > 0 || (http < 0 && start_raw(e)) || (e->in_used && e->peer_closed && start_raw(e));
			break;
		}
		case HEAD:
			moved = e->in_used > 0 && take_head(e);
			break;
		case BODY:
			moved = take_body(e);
			break;
		case DELAY:
			moved = now_ms() >= e->due_ms;
			if (moved) {
				e->state = ANSWER;
				delayed_count--;
			}
			break;
		case ANSWER:
			moved = send_out(e);
			if (!moved) break;
			if (!e->keep_alive || stopping) {
				shutdown(e->fd, SHUT_WR);
				drop(e);
				return;
			}
			e->state = HEAD;
			break;
		case RAW:
			if (e->in_used > 0 && reserve(e, e->in_used)) {
				memcpy(e->out + e->out_used, e->in, e->in_used);
				e->out_used += e->in_used;
				e->in_used = 0;
			}
			if (send_out(e) && stopping) drop(e);
			break;
		}
	}
	if (e->fd < 0) return;
	bool pending = e->out_used > 0 && (e->state == ANSWER || e->state == RAW);
	bool resting = !pending && (e->state == DETECT || e->state == HEAD || e->state == RAW);
	if (resting && (e->peer_closed || (stopping && e->in_used == 0))) {
		drop(e);
		return;
	}
	if (e->peer_closed && e->state == BODY) {
		drop(e);
		return;
	}
	if (resting && e->in_used == 0) release_buffers(e);
	/* One at a time: while an answer cannot leave, nothing more is read, so memory stays bounded. */
	bool reads = !pending && !e->peer_closed && e->state != DELAY && e->in_used < HEAD_MAX;
	want(e, (reads ? EPOLLIN : 0) | (pending ? EPOLLOUT : 0));
}

static void on_connection(struct end *e, uint32_t events)
{
	if (e->fd < 0) return;
	if (events & (EPOLLERR)) {
		drop(e);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP)) {
		if (!e->in) e->in = malloc(HEAD_MAX);
		if (!e->in) {
			drop(e);
			return;
		}
		ssize_t n = e->in_used < HEAD_MAX ? read(e->fd, e->in + e->in_used, HEAD_MAX - e->in_used) : -2;
		if (n > 0) e->in_used += n;
		else if (n == 0) e->peer_closed = true;
		else if (n == -1 && errno != EAGAIN && errno != EINTR) {
			drop(e);
			return;
		}
		if ((events & EPOLLHUP) && e->state == DELAY) {
			drop(e);
			return;
		}
	}
	advance(e);
}

/* ---- UDP ---------------------------------------------------------------------------------------------------------------- */

/* The answer leaves from the address that was asked, which a wildcard socket must be told (IP_PKTINFO, IPV6_PKTINFO). */
static void on_datagrams(struct end *e)
{
	static char payload[DATAGRAM_MAX + 1], answer[DATAGRAM_MAX];
	for (int turn = 0; turn < 64; turn++) {
		union {
			char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
			struct cmsghdr align;
		} control;
		struct sockaddr_storage peer = { 0 }, local = { 0 };
		socklen_t length = sizeof local;
		struct iovec io = { payload, sizeof payload };
		struct msghdr message = { .msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
		ssize_t n = recvmsg(e->fd, &message, 0);
		if (n < 0) return;
		getsockname(e->fd, (struct sockaddr *)&local, &length);
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
				((struct sockaddr_in6 *)&local)->sin6_addr = ((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr;
			if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && local.ss_family == AF_INET)
				((struct sockaddr_in *)&local)->sin_addr = ((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr;
		}
		struct text t = { answer, 0, sizeof answer };
		put_info(&t, "UDP", &peer, &local);
		put_string(&t, "}\n");
		put(&t, payload, n);
		io = (struct iovec){ answer, t.used };
		sendmsg(e->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

/* ---- start and end -------------------------------------------------------------------------------------------------------- */

static int open_port(int type, unsigned port)
{
	int on = 1, off = 0;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
		if (bind(fd, (struct sockaddr *)&any, sizeof any) == 0) return fd;
		close(fd);
	}
	fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0) return fd;
	return -1;
}

static struct end servers[PORTS_MAX];
static int server_count;

static void serve(const char *flag, const char *value)
{
	unsigned long port = strtoul(value, NULL, 10);
	bool udp = !strcmp(flag, "--udp");
	if (port == 0 || port > 65535 || server_count == PORTS_MAX) {
		dprintf(2, "cirri-echo: %s %s: not a port, or more than %d of them\n", flag, value, PORTS_MAX);
		exit(2);
	}
	struct end *e = &servers[server_count++];
	e->kind = udp ? DATAGRAMS : LISTENER;
	e->http_only = !strcmp(flag, "--http");
	e->fd = open_port(udp ? SOCK_DGRAM : SOCK_STREAM, port);
	if (e->fd < 0 || (!udp && listen(e->fd, 1024) != 0) || !add(e)) {
		dprintf(2, "cirri-echo: listen on %s port %lu: %s\n", udp ? "UDP" : "TCP", port, strerror(errno));
		exit(1);
	}
	dprintf(1, "listening on %s port %lu\n", udp ? "UDP" : "TCP", port);
}

static void stop_accepting(void)
{
	stopping = true;
	for (int i = 0; i < server_count; i++) close(servers[i].fd);
	for (struct end *e = connections, *next; e; e = next) {
		next = e->next;
		advance(e);
	}
}

static int wait_ms(int64_t deadline)
{
	int64_t now = now_ms(), soonest = deadline ? deadline : INT64_MAX;
	if (delayed_count > 0)
		for (struct end *e = connections; e; e = e->next)
			if (e->state == DELAY && e->due_ms < soonest) soonest = e->due_ms;
	if (soonest == INT64_MAX) return -1;
	return soonest > now ? (int)(soonest - now) : 0;
}

static void advance_delayed(void)
{
	if (delayed_count == 0) return;
	for (struct end *e = connections, *next; e; e = next) {
		next = e->next;
		if (e->state == DELAY && now_ms() >= e->due_ms) advance(e);
	}
}

static int run(int signals, int64_t drain_ms)
{
	int64_t deadline = 0;
	struct end signal_end = { .kind = SIGNALS, .fd = signals };
	add(&signal_end);
	for (;;) {
		struct epoll_event events[64];
		if (stopping && (connection_count == 0 || now_ms() >= deadline)) return 0;
		int n = epoll_wait(epoll_fd, events, 64, wait_ms(deadline));
		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;
			struct signalfd_siginfo info;
			if (e->kind == SIGNALS) {
				while (read(signals, &info, sizeof info) > 0) {
					if (info.ssi_signo == SIGCHLD) {
						while (waitpid(-1, NULL, WNOHANG) > 0) { }
					} else if (!stopping) {
						deadline = now_ms() + drain_ms;
						stop_accepting();
					}
				}
			} else if (e->kind == CONNECTION) {
				on_connection(e, events[i].events);
			} else if (!stopping && e->kind == LISTENER) {
				accept_all(e);
			} else if (!stopping) {
				on_datagrams(e);
			}
		}
		advance_delayed();
		collect_garbage();
	}
}

static int sleep_and_reap(const sigset_t *watched)
{
	for (;;) {
		int signal = sigwaitinfo(watched, NULL);
		if (signal == SIGCHLD) {
			while (waitpid(-1, NULL, WNOHANG) > 0) { }
		} else if (signal > 0) {
			return 0;
		}
	}
}

static const char *env_or(const char *name, const char *fallback)
{
	const char *value = getenv(name);
	return value && *value ? value : fallback;
}

int main(int argc, char **argv)
{
	static char host[256];
	sigset_t watched;
	int64_t drain_ms = 20000;
	/* As a pod's init, signals without a handler are dropped by the kernel unless they are blocked: block, then take them. */
	sigemptyset(&watched);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGCHLD);
	sigprocmask(SIG_BLOCK, &watched, NULL);
	if (argc > 1 && !strcmp(argv[1], "sleep")) return sleep_and_reap(&watched);
	gethostname(host, sizeof host - 1);
	pod_name = env_or("POD_NAME", host);
	pod_namespace = env_or("POD_NAMESPACE", "");
	node_name = env_or("NODE_NAME", "");
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (!strcmp(argv[i], "--drain")) drain_ms = atoll(value) * 1000;
		else if (!strcmp(argv[i], "--tcp") || !strcmp(argv[i], "--http") || !strcmp(argv[i], "--udp")) serve(argv[i], value);
		else {
			dprintf(2, "usage: cirri-echo [--tcp PORT]... [--http PORT]... [--udp PORT]... [--drain SECONDS] | sleep\n");
			return 2;
		}
	}
	if (server_count == 0) {
		serve("--tcp", "8080");
		serve("--udp", "8080");
	}
	return run(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK), drain_ms);
}
