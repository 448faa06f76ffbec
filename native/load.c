/*
 * cirri-load: connections at a rate, each one request, every failure counted: what a rolling update is judged by.
 *
 *   cirri-load ADDRESS PORT RATE SECONDS          RATE a second, evenly in ticks of 5 ms; ends early with its input
 *
 * A connection is served when an HTTP answer with status 200 has come whole. One line of JSON at the end: started, served,
 * refused, reset, short (ended before its answer), silent (nothing for 5 s), unreachable (no route, no port, or too many at once), connect time in
 * microseconds (p50, p99, most), and where the failures began and ended, in milliseconds from the start.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
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

enum { TICK_US = 5000, SILENT_US = 5000000, HEAD_ROOM = 2048, AT_ONCE = 16384, SAMPLES = 1 << 20 };
enum outcome { SERVED, REFUSED, RESET, SHORT, SILENT, UNREACHABLE, OUTCOMES };

struct connection {
	int fd;
	bool connected;
	int64_t started_us;
	size_t used, wanted;
	char bytes[HEAD_ROOM];
	struct connection *before, *after;
};

static const char *const names[] = { "served", "refused", "reset", "short", "silent", "unreachable" };
static const char request[] = "GET / HTTP/1.1\r\nhost: load\r\nconnection: close\r\n\r\n";
static uint64_t counts[OUTCOMES], started;
static uint32_t *connect_us;
static size_t samples;
static int64_t first_failure_us = -1, last_failure_us = -1, zero_us;
static int epoll_fd, open_count;
/* Oldest first: the only ones that may have been silent for too long are at the head. */
static struct connection list = { .before = &list, .after = &list };

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static void count(enum outcome outcome)
{
	counts[outcome]++;
	if (outcome == SERVED) return;
	last_failure_us = now_us() - zero_us;
	if (first_failure_us < 0) first_failure_us = last_failure_us;
}

static void finish(struct connection *c, enum outcome outcome)
{
	count(outcome);
	close(c->fd);
	c->before->after = c->after;
	c->after->before = c->before;
	free(c);
	open_count--;
}

static enum outcome outcome_of(int error)
{
	switch (error) {
	case ECONNREFUSED: return REFUSED;
	case ECONNRESET: case EPIPE: case ECONNABORTED: return RESET;
	case ETIMEDOUT: return SILENT;
	default: return UNREACHABLE;
	}
}

static void start(const struct sockaddr *to, socklen_t length)
{
	struct connection *c = calloc(1, sizeof *c);
	int on = 1;

	started++;
	c->fd = open_count < AT_ONCE ? socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
	c->started_us = now_us();
	if (c->fd < 0 || (connect(c->fd, to, length) < 0 && errno != EINPROGRESS)) {
		count(c->fd < 0 ? UNREACHABLE : outcome_of(errno));
		if (c->fd >= 0) close(c->fd);
		free(c);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	c->before = list.before;
	c->after = &list;
	list.before->after = c;
	list.before = c;
	open_count++;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static bool on_connected(struct connection *c)
{
	int error = 0;
	socklen_t length = sizeof error;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		finish(c, outcome_of(error));
		return false;
	}
	if (samples < SAMPLES) connect_us[samples++] = now_us() - c->started_us;
	c->connected = true;
	if (send(c->fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) {
		finish(c, outcome_of(errno));
		return false;
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
	return true;
}

/* The whole answer: head, and as many bytes as it promises. */
static bool is_whole(struct connection *c)
{
	c->bytes[c->used] = 0;
	char *body = strstr(c->bytes, "\r\n\r\n");
	char *length = strcasestr(c->bytes, "content-length:");
	if (!body || !length || strncmp(c->bytes, "HTTP/1.1 200", 12)) return false;
	return c->used >= (size_t)(body + 4 - c->bytes) + strtoul(length + 15, NULL, 10);
}

static void on_event(struct connection *c, uint32_t events)
{
	if (!c->connected && !on_connected(c)) return;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
	ssize_t n = read(c->fd, c->bytes + c->used, HEAD_ROOM - 1 - c->used);
	if (n < 0 && errno != EAGAIN) finish(c, outcome_of(errno));
	else if (n > 0 && ((c->used += n), is_whole(c))) finish(c, SERVED);
	else if (n == 0 || c->used == HEAD_ROOM - 1) finish(c, SHORT);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void report(void)
{
	qsort(connect_us, samples, sizeof *connect_us, by_value);
	printf("{\"started\":%llu", (unsigned long long)started);
	for (int i = 0; i < OUTCOMES; i++) printf(",\"%s\":%llu", names[i], (unsigned long long)counts[i]);
	if (samples) printf(",\"p50\":%u,\"p99\":%u,\"most\":%u", connect_us[samples / 2], connect_us[samples * 99 / 100], connect_us[samples - 1]);
	if (first_failure_us >= 0) printf(",\"firstFailureMs\":%lld,\"lastFailureMs\":%lld", (long long)first_failure_us / 1000, (long long)last_failure_us / 1000);
	printf("}\n");
}

static socklen_t parse(const char *address, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *six = (void *)out;
	struct sockaddr_in *four = (void *)out;

	memset(out, 0, sizeof *out);
	four->sin_port = htons(atoi(port));
	out->ss_family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(out->ss_family, address, out->ss_family == AF_INET6 ? (void *)&six->sin6_addr : &four->sin_addr) != 1) return 0;
	return out->ss_family == AF_INET6 ? sizeof *six : sizeof *four;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;
	struct rlimit files = { 65536, 65536 };
	socklen_t length = argc == 5 ? parse(argv[1], argv[2], &to) : 0;
	if (!length) {
		dprintf(2, "usage: cirri-load ADDRESS PORT RATE SECONDS\n");
		return 2;
	}
	double rate = atof(argv[3]);
	setrlimit(RLIMIT_NOFILE, &files);
	connect_us = malloc(SAMPLES * sizeof *connect_us);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	zero_us = now_us();
	int64_t stop_us = zero_us + (int64_t)(atof(argv[4]) * 1e6), next_us = zero_us;
	struct pollfd input = { .fd = 0, .events = POLLIN };
	struct epoll_event events[256];
	for (bool ending = false; !ending || open_count > 0;) {
		int64_t now = now_us();
		ending |= now >= stop_us || (poll(&input, 1, 0) > 0 && (input.revents & POLLHUP));
		if (!ending && now >= next_us) {
			/* What the clock says is due: a machine that was busy elsewhere catches up, at most a tenth of a second's worth. */
			uint64_t due = (uint64_t)(rate * (now - zero_us) / 1e6);
			for (uint64_t most = started + (uint64_t)(rate / 10) + 1; started < due && started < most;) start((struct sockaddr *)&to, length);
			next_us = now + TICK_US;
		}
		int wait_ms = ending ? 50 : (int)((next_us - now_us() + 999) / 1000);
		int n = epoll_wait(epoll_fd, events, 256, wait_ms > 0 ? wait_ms : 0);
		for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events);
		while (list.after != &list && now_us() - list.after->started_us > SILENT_US) finish(list.after, SILENT);
	}
	report();
	return 0;
}
