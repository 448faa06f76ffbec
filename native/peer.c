/*
 * cirri-peer: one end of the conformance rig, in a pod's (a node's, the outside's) network namespace: a server on many ports and
 * a client with many probes at once. Orders are lines on standard input, it ends with its input:
 *
 *   listen tcp|udp|sctp PORT
 *   probe ID tcp|udp|sctp|icmp SOURCE|- DESTINATION PORT TIMEOUT_MS [OWN_PORT [REQUEST]]     own port: SCTP only, else 0; the
 *                                     bytes of an HTTP/1.1 request without a body, in hexadecimal: TCP only, what it is answered counts
 *   cancel ID                         nothing more is to be expected: done ID silent
 *   sync WORD                         answered when everything before it has been carried out
 *
 * and what it says, a line each:
 *
 *   source ID ADDRESS PORT            a probe's own end (ICMP: the identifier as port), before its packet leaves
 *   done ID allow|refused|unreachable|silent|http-403 [reason]
 *   synced WORD
 *   failed MESSAGE                    an order could not be carried out
 *
 * and first of all `sctp kernel` or `sctp raw`: where the kernel has no SCTP, it is made by hand on raw sockets: an INIT with its
 * checksum (RFC 9260), answered by INIT ACK where the port is listened to and by ABORT where not. A policy sees no more of an
 * association than that.
 *
 * TCP, and the kernel's SCTP, are connect(2); a server answers each HTTP request with 200. A datagram and an echo request want an answer and are sent again while there is none,
 * for a queue may overflow.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_ROOM = 64 * 1024, TICK_MS = 20, RESEND_MS = 250, ACCEPTED_MS = 10000, PACKET = 2048 };
enum kind { INPUT, LISTENER, DATAGRAMS, ACCEPTED, SCTP4, SCTP6, ECHO4, ECHO6, PROBE };
enum protocol { TCP, UDP, SCTP, ICMP };

struct end {
	enum kind kind;
	int fd;
	struct end *next, **link;
	int64_t until_ms;
	/* Probes only, from here. */
	unsigned id;
	enum protocol protocol;
	struct sockaddr_in6 source, destination;
	uint16_t own_port;
	int64_t resend_ms;
	/* Sent once there is a connection. */
	char *request;
	size_t request_length;
	bool asked;
};

static struct end *probes, *accepted, *garbage;
/* By own SCTP port and by echo identifier: the replies' way to their probe. */
static struct end *by_sctp_port[65536], *by_echo_id[65536];
static bool tcp_listens[65536], udp_listens[65536], sctp_listens[65536];
static int epoll_fd, sctp_fd[2], echo_fd[2];
static uint16_t next_sctp_port, next_echo_id;
static bool kernel_sctp;

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void failed(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("failed ", stdout);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
}

/* ---- ends ---------------------------------------------------------------------------------------------------------------- */

static void watch(struct end *e, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = e };
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, e->fd, &event);
}

static struct end *new_end(enum kind kind, int fd, uint32_t events)
{
	struct end *e = calloc(1, sizeof *e);
	if (!e) abort();
	e->kind = kind;
	e->fd = fd;
	if (fd >= 0 && events) watch(e, events);
	return e;
}

static void enlist(struct end *e, struct end **list)
{
	e->next = *list;
	e->link = list;
	if (*list) (*list)->link = &e->next;
	*list = e;
}

/* Freed after the round of events: a later event of the same round may still point here. */
static void drop_end(struct end *e)
{
	if (e->fd >= 0) close(e->fd);
	e->fd = -1;
	*e->link = e->next;
	if (e->next) e->next->link = e->link;
	e->next = garbage;
	garbage = e;
}

static bool is_stream(enum protocol protocol)
{
	return protocol == TCP || (protocol == SCTP && kernel_sctp);
}

static void finish(struct end *e, const char *outcome, const char *reason)
{
	printf("done %u %s%s%s\n", e->id, outcome, reason ? " " : "", reason ? reason : "");
	if (e->protocol == SCTP && !kernel_sctp) by_sctp_port[e->own_port] = NULL;
	if (e->protocol == ICMP) by_echo_id[e->own_port] = NULL;
	drop_end(e);
}

static void finish_errno(struct end *e, int error)
{
	bool refused = error == ECONNREFUSED || error == ECONNRESET;
	if (error == ETIMEDOUT) finish(e, "silent", NULL);
	else finish(e, refused ? "refused" : "unreachable", strerror(error));
}

/* ---- addresses ----------------------------------------------------------------------------------------------------------- */

static bool is_ipv4(const struct sockaddr_in6 *a)
{
	return IN6_IS_ADDR_V4MAPPED(&a->sin6_addr);
}

/* IPv4 is held as ::ffff:a.b.c.d, as everywhere here. */
static bool parse_address(const char *text, uint16_t port, struct sockaddr_in6 *out)
{
	char mapped[64];
	*out = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
	snprintf(mapped, sizeof mapped, strchr(text, ':') ? "%s" : "::ffff:%s", text);
	return inet_pton(AF_INET6, mapped, &out->sin6_addr) == 1;
}

/* The form in which a socket of the address's own family takes it. */
static socklen_t native(const struct sockaddr_in6 *a, struct sockaddr_storage *out)
{
	if (!is_ipv4(a)) {
		memcpy(out, a, sizeof *a);
		return sizeof *a;
	}
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = a->sin6_port };
	memcpy(&in.sin_addr, a->sin6_addr.s6_addr + 12, 4);
	memcpy(out, &in, sizeof in);
	return sizeof in;
}

static void from_native(const struct sockaddr_storage *a, struct sockaddr_in6 *out)
{
	if (a->ss_family == AF_INET6) {
		memcpy(out, a, sizeof *out);
		return;
	}
	const struct sockaddr_in *in = (const struct sockaddr_in *)a;
	*out = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = in->sin_port };
	out->sin6_addr.s6_addr[10] = out->sin6_addr.s6_addr[11] = 0xff;
	memcpy(out->sin6_addr.s6_addr + 12, &in->sin_addr, 4);
}

static const char *address_text(const struct sockaddr_in6 *a, char *buffer)
{
	if (is_ipv4(a)) return inet_ntop(AF_INET, a->sin6_addr.s6_addr + 12, buffer, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, &a->sin6_addr, buffer, INET6_ADDRSTRLEN);
}

static void say_source(const struct end *e)
{
	char buffer[INET6_ADDRSTRLEN];
	printf("source %u %s %u\n", e->id, address_text(&e->source, buffer), e->own_port);
	/* Before the packet: a drop may be reported sooner than a full buffer. */
	fflush(stdout);
}

/* A socket of the destination's family, bound to the probe's source where one is asked for. */
static int client_socket(const struct end *e, int type, int protocol)
{
	struct sockaddr_storage from;
	bool v4 = is_ipv4(&e->destination);
	int fd = socket(v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0) return -1;
	if (e->source.sin6_family && bind(fd, (struct sockaddr *)&from, native(&e->source, &from)) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static void take_own_end(struct end *e, int fd)
{
	struct sockaddr_storage own;
	socklen_t length = sizeof own;
	if (getsockname(fd, (struct sockaddr *)&own, &length) < 0) return;
	from_native(&own, &e->source);
	if (e->protocol == TCP || e->protocol == UDP || (e->protocol == SCTP && kernel_sctp)) e->own_port = ntohs(e->source.sin6_port);
}

/* Which address of ours the kernel would use: a datagram socket connects without a packet. */
static bool find_source(struct end *e)
{
	struct sockaddr_storage to;
	int fd = client_socket(e, SOCK_DGRAM, 0);
	if (fd < 0) return false;
	bool found = connect(fd, (struct sockaddr *)&to, native(&e->destination, &to)) == 0;
	int error = errno;
	if (found) take_own_end(e, fd);
	close(fd);
	errno = error;
	return found;
}

/* ---- raw packets ----------------------------------------------------------------------------------------------------------- */

static uint32_t crc32c(const uint8_t *bytes, size_t length)
{
	uint32_t crc = ~0u;
	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static uint16_t internet_checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

/* From this very address: the outside has many. */
static int send_raw(int fd, const struct sockaddr_in6 *source, const struct sockaddr_in6 *destination, const void *bytes, size_t length)
{
	struct sockaddr_in6 plain = *destination;
	struct sockaddr_storage to;
	/* A raw IPv6 socket takes the port field for a protocol. */
	plain.sin6_port = 0;
	struct iovec part = { (void *)bytes, length };
	union { char room[CMSG_SPACE(sizeof(struct in6_pktinfo))]; struct cmsghdr align; } control = {};
	struct msghdr message = { .msg_name = &to, .msg_namelen = native(&plain, &to), .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	if (is_ipv4(source)) {
		struct in_pktinfo info = {};
		memcpy(&info.ipi_spec_dst, source->sin6_addr.s6_addr + 12, 4);
		*c = (struct cmsghdr){ CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof info);
		message.msg_controllen = CMSG_SPACE(sizeof info);
	} else {
		struct in6_pktinfo info = { .ipi6_addr = source->sin6_addr };
		*c = (struct cmsghdr){ CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof info);
	}
	return sendmsg(fd, &message, 0) < 0 ? -1 : 0;
}

/* One packet without its IP header, and both its ends (ports 0). */
static ssize_t receive_raw(int fd, uint8_t *bytes, struct sockaddr_in6 *peer, struct sockaddr_in6 *own, uint8_t **payload)
{
	struct sockaddr_storage from;
	struct iovec part = { bytes, PACKET };
	union { char room[256]; struct cmsghdr align; } control;
	struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
	if (length < 0) return -1;
	from_native(&from, peer);
	*payload = bytes;
	*own = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	if (from.ss_family == AF_INET) {
		size_t head = (bytes[0] & 15) * 4;
		own->sin6_addr.s6_addr[10] = own->sin6_addr.s6_addr[11] = 0xff;
		memcpy(own->sin6_addr.s6_addr + 12, bytes + 16, 4);
		*payload += head;
		return length < (ssize_t)head ? 0 : length - (ssize_t)head;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			memcpy(&own->sin6_addr, CMSG_DATA(c), sizeof own->sin6_addr);
	return length;
}

/* ---- SCTP ------------------------------------------------------------------------------------------------------------------ */

enum { CHUNK_INIT = 1, CHUNK_INIT_ACK = 2, CHUNK_ABORT = 6, SCTP_HEAD = 12, CHUNK_HEAD = 4 };

struct sctp_packet {
	uint16_t source_port, destination_port;
	uint32_t tag, checksum;
	uint8_t type, flags;
	uint16_t length;
	/* INIT and INIT ACK only. */
	uint32_t init_tag, window;
	uint16_t out_streams, in_streams;
	uint32_t first_tsn;
} __attribute__((packed));

static int send_sctp(const struct sockaddr_in6 *source, const struct sockaddr_in6 *destination, uint16_t from, uint16_t to, uint8_t type, uint32_t tag, uint32_t init_tag)
{
	struct sctp_packet p = { .source_port = htons(from), .destination_port = htons(to), .tag = tag, .type = type };
	size_t chunk = type == CHUNK_ABORT ? CHUNK_HEAD : sizeof p - SCTP_HEAD;
	p.length = htons(chunk);
	p.init_tag = init_tag;
	p.window = htonl(65536);
	p.out_streams = p.in_streams = htons(1);
	p.first_tsn = htonl(1);
	/* RFC 9260, appendix A: the bytes of the sum lie in the order of a little-endian machine. */
	p.checksum = htole32(crc32c((uint8_t *)&p, SCTP_HEAD + chunk));
	return send_raw(sctp_fd[is_ipv4(destination) ? 0 : 1], source, destination, &p, SCTP_HEAD + chunk);
}

static void take_sctp(int fd)
{
	uint8_t bytes[PACKET], *payload;
	struct sockaddr_in6 peer, own;
	for (ssize_t length; (length = receive_raw(fd, bytes, &peer, &own, &payload)) >= 0;) {
		struct sctp_packet p = {};
		if (length < SCTP_HEAD + CHUNK_HEAD) continue;
		memcpy(&p, payload, length < (ssize_t)sizeof p ? (size_t)length : sizeof p);
		uint16_t from = ntohs(p.source_port), to = ntohs(p.destination_port);
		if (p.type == CHUNK_INIT) {
			uint8_t answer = sctp_listens[to] ? CHUNK_INIT_ACK : CHUNK_ABORT;
			send_sctp(&own, &peer, to, from, answer, p.init_tag, htonl(1));
			continue;
		}
		struct end *e = by_sctp_port[to];
		if (!e || ntohs(e->destination.sin6_port) != from || memcmp(&peer.sin6_addr, &e->destination.sin6_addr, 16)) continue;
		if (p.tag != htonl(e->id + 1)) continue;
		if (p.type == CHUNK_INIT_ACK) finish(e, "allow", NULL);
		else if (p.type == CHUNK_ABORT) finish(e, "refused", "SCTP ABORT");
	}
}

/* ---- ICMP echo --------------------------------------------------------------------------------------------------------------- */

static int send_echo(const struct end *e)
{
	bool v4 = is_ipv4(&e->destination);
	uint8_t packet[16] = { v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST, 0, 0, 0, e->own_port >> 8, e->own_port & 255, 0, 1, 'c', 'i', 'r', 'r', 'i' };
	/* The kernel fills in ICMPv6's sum: it covers the addresses. */
	uint16_t sum = internet_checksum(packet, sizeof packet);
	if (v4) memcpy(packet + 2, &sum, 2);
	return send_raw(echo_fd[v4 ? 0 : 1], &e->source, &e->destination, packet, sizeof packet);
}

static void take_echo(int fd, uint8_t reply)
{
	uint8_t bytes[PACKET], *payload;
	struct sockaddr_in6 peer, own;
	for (ssize_t length; (length = receive_raw(fd, bytes, &peer, &own, &payload)) >= 0;) {
		if (length < 8 || payload[0] != reply) continue;
		struct end *e = by_echo_id[payload[4] << 8 | payload[5]];
		if (e && !memcmp(&peer.sin6_addr, &e->destination.sin6_addr, 16)) finish(e, "allow", NULL);
	}
}

/* ---- probes ------------------------------------------------------------------------------------------------------------------ */

static uint16_t free_number(struct end **table, uint16_t *next, uint16_t lowest)
{
	for (int tried = 0; tried < 65536; tried++) {
		uint16_t number = ++*next < lowest ? (*next = lowest) : *next;
		if (!table[number]) return number;
	}
	return 0;
}

static int send_once(struct end *e)
{
	if (e->protocol == UDP) return send(e->fd, "cirri", 5, 0) < 0 ? -1 : 0;
	if (e->protocol == ICMP) return send_echo(e);
	return send_sctp(&e->source, &e->destination, e->own_port, ntohs(e->destination.sin6_port), CHUNK_INIT, 0, htonl(e->id + 1));
}

static void start_stream(struct end *e)
{
	struct linger at_once = { 1, 0 };
	struct sockaddr_storage to;
	socklen_t length = native(&e->destination, &to);
	e->fd = client_socket(e, SOCK_STREAM, e->protocol == SCTP ? IPPROTO_SCTP : 0);
	if (e->fd < 0) return finish_errno(e, errno);
	/* No TIME_WAIT: thousands of probes, and the next case may use the same ports. */
	setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	/* The port is known before the first packet leaves only where it is bound; here it is said right after. */
	if (connect(e->fd, (struct sockaddr *)&to, length) < 0 && errno != EINPROGRESS) return finish_errno(e, errno);
	take_own_end(e, e->fd);
	say_source(e);
	watch(e, EPOLLOUT);
}

static void start_udp(struct end *e)
{
	struct sockaddr_storage to;
	socklen_t length = native(&e->destination, &to);
	e->fd = client_socket(e, SOCK_DGRAM, 0);
	if (e->fd < 0 || connect(e->fd, (struct sockaddr *)&to, length) < 0) return finish_errno(e, errno);
	take_own_end(e, e->fd);
	say_source(e);
	watch(e, EPOLLIN);
	if (send_once(e) < 0) finish_errno(e, errno);
}

static void start_raw(struct end *e)
{
	struct end **table = e->protocol == SCTP ? by_sctp_port : by_echo_id;
	if (!find_source(e)) return finish_errno(e, errno);
	if (e->protocol == ICMP) e->own_port = free_number(table, &next_echo_id, 1);
	else if (!e->own_port || table[e->own_port]) e->own_port = free_number(table, &next_sctp_port, 32768);
	if (!e->own_port) return finish(e, "unreachable", "too many probes at once");
	table[e->own_port] = e;
	say_source(e);
	if (send_once(e) < 0) finish_errno(e, errno);
}

static int protocol_of(const char *word)
{
	static const char *const words[] = { "tcp", "udp", "sctp", "icmp" };
	for (int i = 0; i < 4; i++)
		if (!strcmp(word, words[i])) return i;
	return -1;
}

/* Each two digits a byte; the orders are our own. */
static void take_request(struct end *e, const char *hex)
{
	e->request_length = strlen(hex) / 2;
	e->request = malloc(e->request_length + 1);
	if (!e->request) abort();
	for (size_t i = 0; i < e->request_length; i++) {
		unsigned byte = 0;
		sscanf(hex + 2 * i, "%2x", &byte);
		e->request[i] = byte;
	}
}

static void order_probe(const char *line)
{
	char protocol[8], source[64], destination[64], request[8192] = "";
	unsigned id, port, timeout, own_port = 0;
	if (sscanf(line, "probe %u %7s %63s %63s %u %u %u %8191s", &id, protocol, source, destination, &port, &timeout, &own_port, request) < 6) return failed("not understood: %s", line);
	struct end *e = new_end(PROBE, -1, 0);
	e->id = id;
	e->own_port = own_port;
	e->until_ms = now_ms() + timeout;
	e->resend_ms = now_ms() + RESEND_MS;
	enlist(e, &probes);
	int known = protocol_of(protocol);
	e->protocol = known < 0 ? TCP : known;
	bool ok = known >= 0 && parse_address(destination, port, &e->destination);
	if (ok && strcmp(source, "-")) ok = parse_address(source, 0, &e->source);
	if (!ok) return finish(e, "unreachable", "the order is not understood");
	if (*request) take_request(e, request);
	if (is_stream(e->protocol)) start_stream(e);
	else if (e->protocol == UDP) start_udp(e);
	else start_raw(e);
}

/* Small enough for one write and, as far as it is looked at, one read. */
static void ask(struct end *e)
{
	char answer[64] = "";
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };
	if (!e->asked) {
		e->asked = true;
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, e->fd, &event);
		if (send(e->fd, e->request, e->request_length, MSG_NOSIGNAL) < 0) finish_errno(e, errno);
		return;
	}
	ssize_t got = recv(e->fd, answer, sizeof answer - 1, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN) return;
	if (got < 0) return finish_errno(e, errno);
	answer[strcspn(answer, "\r\n")] = 0;
	if (!strncmp(answer, "HTTP/1.1 200", 12)) finish(e, "allow", NULL);
	else if (!strncmp(answer, "HTTP/1.1 403", 12)) finish(e, "http-403", NULL);
	else finish(e, "refused", got == 0 ? "closed without an answer" : answer);
}

static void on_probe(struct end *e)
{
	int error = 0;
	socklen_t length = sizeof error;
	char byte;
	if (e->fd < 0) return;
	if (is_stream(e->protocol)) {
		getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error) finish_errno(e, error);
		else if (e->request) ask(e);
		else finish(e, "allow", NULL);
	} else if (recv(e->fd, &byte, 1, MSG_DONTWAIT) >= 0) {
		finish(e, "allow", NULL);
	} else if (errno != EAGAIN) {
		finish_errno(e, errno);
	}
}

static void tick(void)
{
	int64_t now = now_ms();
	for (struct end *e = probes, *next; e; e = next) {
		next = e->next;
		if (now >= e->until_ms) {
			finish(e, "silent", NULL);
		} else if (!is_stream(e->protocol) && now >= e->resend_ms) {
			e->resend_ms = now + RESEND_MS;
			send_once(e);
		}
	}
	for (struct end *e = accepted, *next; e; e = next) {
		next = e->next;
		if (now >= e->until_ms) drop_end(e);
	}
}

/* ---- servers ------------------------------------------------------------------------------------------------------------------ */

static void order_listen(const char *line)
{
	char word[8];
	unsigned port;
	if (sscanf(line, "listen %7s %u", word, &port) != 2 || port > 65535 || protocol_of(word) < 0) return failed("not understood: %s", line);
	int protocol = protocol_of(word), on = 1, off = 0;
	bool *listens = protocol == TCP ? tcp_listens : protocol == UDP ? udp_listens : sctp_listens;
	if (protocol == ICMP || listens[port]) return;
	if (protocol == SCTP && !kernel_sctp) {
		sctp_listens[port] = true;
		return;
	}
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, (is_stream(protocol) ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol == SCTP ? IPPROTO_SCTP : 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (protocol == UDP) setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || (is_stream(protocol) && listen(fd, 4096) < 0)) {
		failed("listen %s %u: %s", word, port, strerror(errno));
		close(fd);
		return;
	}
	listens[port] = true;
	new_end(is_stream(protocol) ? LISTENER : DATAGRAMS, fd, EPOLLIN);
}

/* Kept until the client ends it: ended here first, its reset could overtake the client's look at the handshake. */
static void on_listener(const struct end *e)
{
	for (int fd; (fd = accept4(e->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct end *a = new_end(ACCEPTED, fd, EPOLLIN | EPOLLRDHUP);
		a->until_ms = now_ms() + ACCEPTED_MS;
		enlist(a, &accepted);
	}
}

/* A request's head ends what a client says; anything else it says is waited for, and its end ends this end. */
static void on_accepted(struct end *e)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
	char bytes[PACKET];
	if (e->fd < 0) return;
	ssize_t got = recv(e->fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN) return;
	if (got <= 0) return drop_end(e);
	if (got >= 4 && !memcmp(bytes + got - 4, "\r\n\r\n", 4)) send(e->fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
}

/* Back from the address that was asked, which the same control message says. */
static void on_datagrams(const struct end *e)
{
	char bytes[PACKET];
	struct sockaddr_in6 peer;
	for (;;) {
		struct iovec part = { bytes, sizeof bytes };
		union { char room[256]; struct cmsghdr align; } control;
		struct msghdr message = { .msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
		ssize_t length = recvmsg(e->fd, &message, MSG_DONTWAIT);
		if (length < 0) return;
		part.iov_len = length;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
			if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
				((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_ifindex = 0;
		sendmsg(e->fd, &message, 0);
	}
}

/* ---- wiring -------------------------------------------------------------------------------------------------------------------- */

static void order(const char *line)
{
	unsigned id;
	if (!strncmp(line, "probe ", 6)) return order_probe(line);
	if (!strncmp(line, "listen ", 7)) return order_listen(line);
	if (!strncmp(line, "sync ", 5)) {
		printf("synced %s\n", line + 5);
		return;
	}
	if (sscanf(line, "cancel %u", &id) != 1) return failed("not understood: %s", line);
	for (struct end *e = probes; e; e = e->next)
		if (e->id == id) return finish(e, "silent", NULL);
}

static void take_input(void)
{
	static char text[LINE_ROOM];
	static size_t used;
	ssize_t got = read(0, text + used, sizeof text - 1 - used);
	if (got < 0 && errno == EINTR) return;
	if (got <= 0) exit(0);
	used += got;
	char *at = text;
	for (char *end; (end = memchr(at, '\n', text + used - at)); at = end + 1) {
		*end = 0;
		order(at);
	}
	used -= at - text;
	memmove(text, at, used);
	if (used == sizeof text - 1) exit(2);
}

static int raw_socket(int family, int protocol)
{
	int on = 1, room = 4 << 20;
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0) {
		fprintf(stderr, "raw socket for protocol %d: %s\n", protocol, strerror(errno));
		exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
	return fd;
}

static void open_raw(void)
{
	/* struct icmp_filter and its option (1), which glibc's header leaves out. */
	uint32_t only4 = ~(1u << ICMP_ECHOREPLY);
	struct icmp6_filter only6;
	ICMP6_FILTER_SETBLOCKALL(&only6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only6);
	if (!kernel_sctp) {
		sctp_fd[0] = raw_socket(AF_INET, IPPROTO_SCTP);
		sctp_fd[1] = raw_socket(AF_INET6, IPPROTO_SCTP);
	}
	echo_fd[0] = raw_socket(AF_INET, IPPROTO_ICMP);
	echo_fd[1] = raw_socket(AF_INET6, IPPROTO_ICMPV6);
	setsockopt(echo_fd[0], SOL_RAW, 1, &only4, sizeof only4);
	setsockopt(echo_fd[1], IPPROTO_ICMPV6, ICMP6_FILTER, &only6, sizeof only6);
	for (int i = 0; i < 2; i++) {
		if (!kernel_sctp) new_end(SCTP4 + i, sctp_fd[i], EPOLLIN);
		new_end(ECHO4 + i, echo_fd[i], EPOLLIN);
	}
}

static void on_event(struct end *e)
{
	switch (e->kind) {
	case INPUT: take_input(); break;
	case LISTENER: on_listener(e); break;
	case DATAGRAMS: on_datagrams(e); break;
	case SCTP4: case SCTP6: take_sctp(e->fd); break;
	case ECHO4: take_echo(e->fd, ICMP_ECHOREPLY); break;
	case ECHO6: take_echo(e->fd, ICMP6_ECHO_REPLY); break;
	case PROBE: on_probe(e); break;
	case ACCEPTED: on_accepted(e); break;
	}
}

int main(void)
{
	struct rlimit files = { 65536, 65536 };
	struct epoll_event events[256];
	setrlimit(RLIMIT_NOFILE, &files);
	static char out[1 << 16];
	setvbuf(stdout, out, _IOFBF, sizeof out);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	next_sctp_port = 32768;
	/* A kernel that has it would answer our INIT itself, beside us. */
	int sctp = socket(AF_INET6, SOCK_STREAM, IPPROTO_SCTP);
	kernel_sctp = sctp >= 0;
	if (kernel_sctp) close(sctp);
	printf("sctp %s\n", kernel_sctp ? "kernel" : "raw");
	fflush(stdout);
	open_raw();
	new_end(INPUT, 0, EPOLLIN);
	for (;;) {
		int count = epoll_wait(epoll_fd, events, 256, probes || accepted ? TICK_MS : -1);
		for (int i = 0; i < count; i++) on_event(events[i].data.ptr);
		tick();
		fflush(stdout);
		while (garbage) {
			struct end *e = garbage;
			garbage = e->next;
			free(e->request);
			free(e);
		}
	}
}
